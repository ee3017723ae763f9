"""What customers of a bicycle shop say about each kind of product. `[a|b]` means: either of the two.

A kind of product is found by a word of the product's name, or by its category.
"""

# Sentences are easier to read and to change on one line.
# ruff: noqa: E501

from dataclasses import dataclass
from functools import cache

from adventure.demo.catalogue import Product


@dataclass(frozen=True)
class Defect:
    """What is wrong, what the agent asks, what the customer answers, and what the agent advises."""

    symptom: str
    question: str
    answer: str
    advice: str


@dataclass(frozen=True)
class Fit:
    """A question whether the product fits, what the agent needs to know, the answer, and the agent's verdict."""

    question: str
    needed: str
    answer: str
    verdict: str


@dataclass(frozen=True)
class Thing:
    """A kind of product."""

    word: str
    """A word of the product's name, or its category."""
    noun: str
    defects: tuple[Defect, ...]
    fit: Fit
    setup: Fit
    """A question about the first use: the question, what the agent needs to know, the answer, the advice."""
    plural: bool = False
    worn: bool = False
    """Whether people wear it."""
    mounted: bool = False
    """Whether a manual says how to mount it."""


_SIZE = Fit(
    "is the size right for [me|my daughter|my partner]?",
    "What are [the chest and waist measurements|height and weight], please?",
    "[178 cm and 74 kg|165 cm and 60 kg|Chest 98 cm and waist 82 cm|Chest 104 cm and waist 90 cm].",
    "With these measurements I recommend the same size; between two sizes, take the larger one.",
)
_WASH = Fit(
    "at how many degrees can I wash {them}?",
    "Do you wash by hand or in a machine?",
    "In a machine, [with a sports detergent|together with other sports clothes].",
    "Please wash at 30 degrees, inside out and without softener, and do not tumble-dry.",
)
_SEAM = Defect(
    "the stitching came open [under the arm|on the side] after [the first ride|two washes]",
    "Could you send a photo of the stitching and of the label with the wash symbols?",
    "The photos are attached; [it is open for about five centimetres|the thread is simply loose].",
    "That is a fault of this batch, and no wash would cause it.",
)
_TORQUE = Fit(
    "which torque do the bolts need?",
    "Is your part of carbon or of aluminium?",
    "[Aluminium|Carbon|Aluminium, from 2013].",
    "Please use 5 Nm and a thin layer of assembly paste.",
)

THINGS = (
    Thing("Helmet", "helmet", (
        Defect("the chin strap slips open [while I ride|after a few minutes]",
               "Does the buckle click when you close it, and does it hold when you pull?",
               "It clicks, but it [opens when I pull hard|slides along the strap].",
               "Please thread the strap back through the small ring behind the buckle; then it cannot slide."),
        Defect("one of the inner pads [came off|was missing in the box]",
               "Which pad is it: the one on the forehead or one on the side?",
               "[The forehead pad|The left one].",
               "The pads hold with hook and loop, so a new set is all that it needs."),
    ), Fit("does one size fit a head of [57|59|61] cm?", "Is the head rather round or rather oval?",
           "[Rather round|Rather oval|I would say oval].",
           "The dial at the back covers 54 to 61 cm, so it fits."),
        Fit("how tight should the straps be?", "Is the helmet level on your head, two fingers above the eyebrows?",
            "[Yes, it is level|Now it is, it sat too far back].",
            "Then close the dial until the helmet stays on when you nod, and leave one finger's room under the chin."),
        worn=True),
    Thing("Cap", "cap", (_SEAM,), _SIZE, _WASH),
    Thing("Jersey", "jersey", (
        _SEAM,
        Defect("the zip [gets stuck half way|came apart at the bottom]",
               "Does the zip run freely if you guide it with two fingers?",
               "[No, it jams at the same tooth each time|For a moment, then it opens again].",
               "A little wax on the teeth helps if no tooth is bent."),
    ), _SIZE, _WASH, worn=True),
    Thing("Vest", "vest", (
        _SEAM,
        Defect("the zip [gets stuck half way|came apart at the bottom]",
               "Does the zip run freely if you guide it with two fingers?",
               "[No, it jams at the same tooth each time|For a moment, then it opens again].",
               "A little wax on the teeth helps if no tooth is bent."),
    ), _SIZE, _WASH, worn=True),
    Thing("Shorts", "shorts", (
        _SEAM,
        Defect("the padding [slips to one side|has come loose at the back]",
               "Did that happen before or after the first wash?",
               "[After the first wash|Before, on the first long ride].",
               "The padding is sewn in, so it must not move at all."),
    ), _SIZE, _WASH, plural=True, worn=True),
    Thing("Gloves", "gloves", (
        _SEAM,
        Defect("the gel pad of the [left|right] glove is hard as stone",
               "Were the gloves dried on a heater or in the sun?",
               "[No, they are new|No, only on a line in the shade].",
               "Then the gel has set in storage, which is our fault."),
    ), _SIZE, _WASH, plural=True, worn=True),
    Thing("Socks", "socks", (
        Defect("there is a hole in [one heel|one of the toes] after two rides",
               "Which size of shoe do you wear?",
               "[42|44|39].",
               "The size is right, so the yarn is weak."),
    ), _SIZE, _WASH, plural=True, worn=True),
    Thing("Patch Kit", "patch kit", (
        Defect("the glue in the tube [has dried up|is hard]",
               "Was the tube still sealed when you opened the box?",
               "[Yes, it was sealed|Yes, and there was still nothing liquid in it].",
               "Sealed glue keeps for three years, so this one was too old."),
    ), Fit("do the patches hold on a [latex|butyl] tube?", "How large is the hole, roughly?",
           "[A pin hole, from a thorn|About two millimetres].",
           "They hold on both; roughen the tube well and wait until the glue looks dull."),
        Fit("how long does the glue have to dry?", "Do you use the small round patches or the long ones?",
            "[The small ones|The long ones].",
            "Let the glue dry for five minutes, press the patch on for one, and leave the foil on.")),
    Thing("Tube", "tube", (
        Defect("the tube [loses all its air overnight|was flat again after one day]",
               "Do you hear it or find bubbles in water, and are they at the valve or elsewhere?",
               "[Bubbles come out at the foot of the valve|I see tiny bubbles next to a crease].",
               "Please check the rim tape and the inside of the tire for a sharp edge before the next try."),
        Defect("the valve is [bent|too short for my rim]",
               "How deep is your rim, from the tire to the spokes?",
               "[About 40 mm|It is an ordinary flat rim].",
               "A longer valve, or an extension, solves it."),
    ), Fit("does it fit a tire of [28|32|40|47] mm?", "Which numbers are printed on the side of your tire?",
           "[It says 32-622|It says 47-559|It says 28-622].",
           "That is within the range of this tube, so it fits."),
        Fit("how much air should I put in?", "How wide is the tire, and how heavy are you with the bike?",
            "[28 mm and about 85 kg|40 mm and about 95 kg].",
            "Start with the lower number on the tire's side and add half a bar until it feels right.")),
    Thing("Tire", "tire", (
        Defect("the tire [has a bulge on one side|does not sit straight on the rim]",
               "Is the thin line above the rim at the same height all around?",
               "[No, it disappears near the valve|It rises by a few millimetres in one place].",
               "Let the air out, wet the edge with soapy water and pump to the maximum; it should pop into place."),
        Defect("the rubber is coming off after [200|400] km",
               "What pressure do you ride, and mostly on which ground?",
               "[Four bar, on the road|Three bar, on gravel and forest tracks].",
               "At that pressure the rubber must last for thousands of kilometres."),
    ), Fit("does it go on my [17|19|21] mm rim?", "Is the rim made for tubes or for tubeless?",
           "[For tubes|It is tubeless-ready].",
           "Yes, that width is allowed for this tire."),
        Fit("in which direction does the pattern run?", "Is it for the front or the rear wheel?",
            "[The rear wheel|The front wheel].",
            "The arrow on the side shows the direction of travel; at the rear the tips of the V touch the ground first."), mounted=True),
    Thing("Bottle Cage", "bottle cage", (
        Defect("the cage [lets go of the bottle on rough ground|broke at the lower bolt]",
               "Which bottle do you use, and how full is it?",
               "[A normal 0.75 litre bottle, full|The one that you sell with it].",
               "Please bend the two arms together by a few millimetres; aluminium allows that."),
    ), Fit("does a one-litre bottle fit into it?", "What is the diameter of the bottle?",
           "[74 mm|About 73 mm].", "73 to 74 mm is the standard, so it fits; a tall bottle may rattle."),
        _TORQUE, mounted=True),
    Thing("Bottle", "bottle", (
        Defect("the bottle [leaks at the cap|tastes of plastic even after three washes]",
               "Is the ring inside the cap in its place?",
               "[Yes, but it looks pinched|Yes, I took it out and put it back].",
               "A new ring, or half an hour in baking soda for the taste, usually solves it."),
    ), Fit("does it fit my old bottle cage?", "Does the cage have a fixed width?",
           "[Yes, it is of steel wire|No, it can be bent].", "Then it fits: the bottle has the standard 73 mm."),
        _WASH),
    Thing("Hitch Rack", "rack", (
        Defect("the rack [wobbles sideways on the hitch|squeaks at every bump]",
               "Is the lower locking bolt tight, and is the sleeve between rack and hitch in place?",
               "[The bolt is tight, but I see no sleeve|Both are there, and it still moves].",
               "Please grease the sleeve, push it in fully and tighten the bolt with a 19 mm wrench."),
    ), Fit("does it fit a [1.25|2] inch hitch?", "What is the load limit on the sticker of your hitch?",
           "[150 pounds|200 pounds].", "Then it fits, with up to four bikes of 15 kg on it."),
        Fit("how far do I have to push it into the hitch?", "Do you have a spare wheel on the tailgate?",
            "[No|Yes, a full-size one].", "Push it in until the second hole meets the pin; then the tailgate opens freely."), mounted=True),
    Thing("Wash", "bike wash", (
        Defect("the spray head [drips|does not lock]",
               "Is there a small white disc under the head?",
               "[No, there is nothing|Yes, but it is torn].", "Without that disc it leaks, and it cannot be repaired."),
    ), Fit("may I use it on [carbon|matt paint|disc brakes]?", "Do you rinse with a hose or with a sponge?",
           "[With a hose|With a sponge].", "Yes, for two minutes at most, and keep it away from the brake discs."),
        Fit("how long does it have to work in?", "Is it dust, or dried mud and oil?", "[Mostly mud|Dust and chain oil].",
            "Two minutes for dust, five for mud, and use a brush on the chain.")),
    Thing("Fender", "fender set", (
        Defect("the front fender [rubs on the tire|rattles all the time]",
               "How wide is your tire, and are both stays tightened?",
               "[2.1 inches, and both are tight|1.9 inches; one stay has some play].",
               "Please lengthen the stays by one hole; five millimetres above the tire are enough."),
    ), Fit("does it fit a [26|29] inch wheel with suspension?", "Are there threaded holes at the fork ends?",
           "[Yes, two on each side|I see one on each side].", "Then it fits; use the longer screws from the bag."),
        _TORQUE, mounted=True),
    Thing("Bike Stand", "bike stand", (
        Defect("the clamp of the stand [does not hold the bike|slips on a thin seat post]",
               "What is the diameter of the tube that you clamp?",
               "[27.2 mm|31.6 mm].", "Please turn the black knob one turn to the left before you close the lever."),
    ), Fit("does it carry an e-bike of [23|26] kg?", "Where would you clamp it: at the seat post or the frame?",
           "[At the seat post|At the frame].", "It carries 30 kg at the seat post; please never clamp a frame."),
        Fit("in which order do I put the legs together?", "Are the two long legs already joined?",
            "[No, all parts are loose|Yes, they are].", "Long legs first, then the foot, and tighten all bolts at the end."), mounted=True),
    Thing("Hydration Pack", "hydration pack", (
        Defect("the hose [drips at the mouthpiece|comes off the bladder]",
               "Does the ring at the connection click when you push it in?",
               "[It clicks and still drips|No, it never clicked].", "A drop of soapy water on the ring lets it slide in fully."),
    ), Fit("does a [1.5|3] litre bladder of another make fit?", "Where does its hose leave: at the top or at the bottom?",
           "[At the bottom|At the top].", "The opening for the hose is at the top, so a hose from the bottom needs some length."),
        Fit("how do I clean the bladder?", "Did you have water or a sports drink in it?",
            "[Only water|A sports drink].", "Warm water and a cleaning tablet, and dry it open, upside down.")),
    Thing("Frame", "frame", (
        Defect("there is a [deep scratch|chip in the paint] on the [top tube|down tube]",
               "Was the frame's foam wrapped around that place, and is the box damaged there?",
               "[The foam had slipped|The box has a dent at that very place].", "It came from the transport, so you do not have to accept it."),
        Defect("the thread of the bottom bracket is [rough|full of paint]",
               "Can you turn the bracket in by hand for two turns?",
               "[Only half a turn|Yes, but then it gets tight].", "A workshop chases the thread in ten minutes, and we pay for it."),
    ), Fit("which bottom bracket does the frame take?", "Which crankset would you like to use?",
           "[One with a 24 mm axle|A square one from my old bike].", "It has a 68 mm shell with an English thread; take the matching bracket."),
        _TORQUE, mounted=True),
    Thing("Handlebars", "handlebars", (
        Defect("the handlebars [turn in the stem|are scratched at the clamp]",
               "Which diameter is printed in the middle of them?",
               "[31.8 mm|It says 25.4].", "Please clean both surfaces, use assembly paste and tighten crosswise with 5 Nm."),
    ), Fit("do {it} fit a stem of [25.4|31.8] mm?", "Is that the number on the stem's front plate?",
           "[Yes, it is|I measured it].", "Then {it} fit, if necessary with the shim from the bag."), _TORQUE, plural=True, mounted=True),
    Thing("Brakes", "brakes", (
        Defect("the brakes [squeal loudly|pull to the bar without any bite]",
               "Are the pads new, and did you bed them in?",
               "[They are new; I did nothing special|Yes, with about ten stops].",
               "Please clean the braking surface with alcohol and make twenty hard stops from 25 km/h."),
    ), Fit("do {it} fit my [2012|2013] frame?", "Is there a hole behind the fork crown?", "[Yes|Yes, of six millimetres].",
           "Then {it} fit."), _TORQUE, plural=True, mounted=True),
    Thing("Derailleur", "derailleur", (
        Defect("the derailleur [does not reach the smallest cog|skips under load]",
               "Is the hanger straight when you look at it from behind?",
               "[It looks straight|It leans inwards a little].", "Please set the high limit screw first, then the cable with the barrel adjuster."),
    ), Fit("does it work with [nine|ten] speeds?", "Which shifter do you have?", "[The one of the same make|An older nine-speed one].",
           "Yes, the pull ratio is the same."), _TORQUE, mounted=True),
    Thing("Saddle", "saddle", (
        Defect("the saddle [creaks at the rails|tilts after a few kilometres]",
               "Is the clamp of the seat post clean and tight?",
               "[Clean, and tight with 8 Nm|I tightened it twice].", "A drop of oil where the rails enter the shell ends the noise."),
    ), Fit("does it fit [oval|7 mm] rails clamps?", "Which seat post do you have?", "[An ordinary aluminium one|One of carbon].",
           "The rails are round, 7 mm, and fit any ordinary clamp."),
        Fit("how high should I set it?", "What is your inside leg?", "[82 cm|78 cm|86 cm].",
            "Multiply it by 0.885: that is the height from the middle of the crank to the top of the saddle."), mounted=True),
    Thing("Pedal", "pedals", (
        Defect("one pedal [has play on its axle|does not release my shoe]",
               "Is it the left or the right one, and did you grease the thread?",
               "[The left one, greased|The right one, not greased].", "Please turn the small screw at the back two clicks towards the minus sign."),
    ), Fit("do {it} fit my old crank?", "Is the thread of the crank 9/16 inch?", "[Yes|It says 9/16].", "Then {it} fit."),
        Fit("how do I screw the left one in?", "Which letter is stamped on the axle's end?", "[An L|L, I think].",
            "The left pedal has a left-hand thread: turn it counter-clockwise to tighten."), plural=True, mounted=True),
    Thing("Chain", "chain", (
        Defect("one link of the chain [is stiff|opened on the first ride]",
               "Did you close it with a quick link or with a pin?",
               "[With the quick link|With a pin].", "Please bend the stiff link sideways a few times until it moves freely."),
    ), Fit("does it fit a [nine|ten] speed cassette?", "How many links did your old one have?", "[108|114].",
           "Yes; take two links out with a chain tool."),
        Fit("do I have to remove the grease first?", "Do you ride mostly in the dry or in the wet?", "[In the dry|In all weathers].",
            "Only wipe the outside; the grease inside is the best that it will ever have."), mounted=True),
    Thing("Crankset", "crankset", (
        Defect("the crankset [creaks under load|wobbles on its axle]",
               "Is the arm tightened with the torque that is printed on it?",
               "[Yes, with a torque wrench|I am not sure].", "Please take the arm off, grease the axle and tighten to 12 Nm."),
    ), Fit("does it fit a 68 mm shell?", "How many spacers does your bracket have?", "[One|Two on the right].",
           "Yes; leave one spacer on the side of the chain."), _TORQUE, mounted=True),
    Thing("Bottom Bracket", "bottom bracket", (
        Defect("the bottom bracket [turns roughly|clicks once a turn]",
               "Was the shell faced before it went in?",
               "[No|I do not know, it is an older frame].", "Please loosen both cups by an eighth of a turn and try again."),
    ), Fit("does it fit an Italian thread?", "How wide is the shell of your frame?", "[70 mm|68 mm].",
           "It has an English thread for 68 mm; for 70 mm you need another one."), _TORQUE, mounted=True),
    Thing("Bikes", "bike", (
        Defect("the chain [skips between the fourth and the fifth gear|jumps when I stand up on the pedals]",
               "Does it also skip on a work stand, or only under load?",
               "Only under load, [mostly uphill|when I pull away].",
               "Please turn the barrel adjuster half a turn counter-clockwise; a new cable stretches on the first rides."),
        Defect("the front brake rubs [at every turn of the wheel|when I ride out of the saddle]",
               "Is the wheel fully in the fork? Please open the lever, push the wheel in and close it again.",
               "I did, and [it still rubs|there is less noise, but some is left].",
               "Loosen the bolt of the brake, pull the lever and tighten it again: that centres it."),
        Defect("something creaks [near the pedals|under me] when I ride uphill",
               "Does it stop when you ride out of the saddle?",
               "[No, it gets louder|Yes, then it is quiet].",
               "Please grease the threads of the pedals and the seat post, and tighten both again."),
        Defect("the rear wheel is out of true [by some millimetres|since the first ride]",
               "Are any spokes loose when you press two of them together?",
               "[Two on the left side are|None that I can feel].", "A quarter turn on the loose spokes brings it back."),
    ), Fit("is the frame right for a person of [168|176|184] cm?", "What is the inside leg, please?",
           "[82 cm|78 cm|86 cm].", "Then this frame is right; you can adjust the saddle by 5 cm either way."),
        Fit("which tools do I need to put it together?", "Have you ever mounted handlebars and pedals?",
            "[No, never|Once, years ago].",
            "A 4 and a 5 mm hex key and a 15 mm wrench are enough; the left pedal turns counter-clockwise."), mounted=True),
)  # fmt: skip

_OTHER = Thing(
    "", "product",
    (Defect("a part [broke off|was missing in the box]", "Which part is it? A photo would help.",
            "[The photo is attached|It is the small screw at the side].", "We have that part as a spare."),),
    Fit("does it fit my bike?", "Which bike do you have, and of which year?", "[A road bike of 2019|A touring bike of 2022].",
        "Yes, it fits."),
    _TORQUE,
)  # fmt: skip


@cache
def thing_of(product: Product | None) -> Thing:
    """Return the kind of the product."""
    if product is None:
        return _OTHER
    found = (thing for thing in THINGS if thing.word in product.name or thing.word == product.category)
    return next(found, _OTHER)
