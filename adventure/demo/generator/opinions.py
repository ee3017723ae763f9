"""Write the title and the text of a review: they fit the rating and the kind of product. `[a|b]` means: either.

A low rating tells what is wrong with the product (`things`), a high one what is good about it.
"""

# Sentences are easier to read and to change on one line.
# ruff: noqa: E501

import random
from collections.abc import Mapping
from functools import cache

from adventure.demo.catalogue import Product, products
from adventure.demo.generator.dialogues import choose, say
from adventure.demo.generator.things import Thing, thing_of

_PRAISE: Mapping[str, tuple[str, ...]] = {
    "helmet": (
        "[it sits firmly and I forget that I wear it|it stays in place on rough ground]",
        "the dial at the back [is easy to use with gloves|adjusts in small steps]",
        "there is enough air [even on long climbs|at thirty degrees]",
    ),
    "cap": (
        "it fits [well under a helmet|my rather large head]",
        "the brim keeps [the sun|the rain] out of my eyes",
    ),
    "jersey": (
        "the fabric dries [within an hour|on the way home]",
        "the back pockets hold [a phone and a rain jacket|two bottles without sagging]",
        "the colours are [still bright after ten washes|as in the picture]",
    ),
    "vest": (
        "it keeps the wind out [on the descents|in the morning] and packs small",
        "it fits [over a jersey without flapping|snugly without being tight]",
    ),
    "shorts": (
        "the padding [is comfortable for four hours and more|dries quickly and does not chafe]",
        "the legs stay [where they should|down without pinching]",
    ),
    "gloves": (
        "the palms are [soft and do not slip|padded in the right places]",
        "I can [use my phone with them|take them off easily with the loops]",
    ),
    "socks": (
        "they are [warm but not thick|thin and still tough]",
        "they do not slide [into the shoe|down], even in the rain",
    ),
    "patch kit": (
        "the patch still holds [after 500 km|after three weeks]",
        "everything is in one small box that fits [a jersey pocket|under the saddle]",
    ),
    "tube": (
        "it has kept its pressure for [two weeks|a month]",
        "it was easy to [mount, even on a narrow rim|fit without levers]",
    ),
    "tire": (
        "it grips [well in the wet|on loose gravel]",
        "[no flat in 1,000 km|it has survived a summer of broken glass]",
        "it rolls [quietly and fast|much easier than my old one]",
    ),
    "bottle cage": (
        "it holds the bottle [on cobblestones|on every trail so far]",
        "it is [light and took two minutes to mount|simple, and the paint does not rub off]",
    ),
    "bottle": (
        "it does not leak [in a bag|when it lies on its side]",
        "it is easy to [squeeze while riding|clean, and there is no taste]",
    ),
    "rack": (
        "four bikes [sit firmly on it|go on in five minutes]",
        "it folds away so that the [boot opens|car still fits the garage]",
    ),
    "bike wash": (
        "[mud comes off without scrubbing|it took off a winter of road salt]",
        "it leaves no [stains on the paint|film on the brake discs]",
    ),
    "fender set": (
        "my back stays dry [in heavy rain|on wet gravel]",
        "they do not rattle [once they are aligned|even on cobblestones]",
    ),
    "bike stand": (
        "it stands firmly [on an uneven floor|with a heavy bike]",
        "it folds flat and fits [behind a door|into the boot]",
    ),
    "hydration pack": (
        "it does not bounce [on descents|when I run with it]",
        "two litres are enough for [half a day|a long hot ride]",
    ),
    "frame": (
        "the welds are [clean all around|as neat as on far dearer ones]",
        "it is [stiff when I sprint and calm at speed|light, and the paint is flawless]",
    ),
    "bike": (
        "it [climbs well and is calm on descents|feels light and quick]",
        "the gears [shift cleanly|were set up well from the start]",
        "the brakes are [strong and easy to control|good, also in the rain]",
        "I ride it [to work every day|every weekend, mostly 60 to 80 km]",
    ),
}  # fmt: skip

_USUAL_PRAISE = (
    "it was easy to [mount|install with the usual tools]",
    "it works [as it should|without noise and without play]",
    "the finish is [clean|better than I expected]",
)

_FLAWS: Mapping[str, tuple[str, ...]] = {
    "cap": (
        "the brim lost its shape [after one wash|in the rain]",
        "the colour [fades quickly|came off on my forehead]",
    )
}
"""What is wrong with a product whose defects in `things` suit a chat and not a review."""

_TITLES: Mapping[int, tuple[str, ...]] = {
    5: ("[Excellent|Great|Very good] {noun}", "Exactly what I wanted", "[Highly recommended|Would buy again]", "My best {noun} so far",
        "[Very|More than] happy with {them}", "[Worth every cent|Worth the money]"),
    4: ("Good {noun}", "Good, with one small flaw", "[Solid|Good] for the price", "[Happy|Satisfied] overall", "Does the job well"),
    3: ("[All right|Okay], no more", "Mixed feelings", "[Good idea, average quality|Neither good nor bad]", "{noun}: average"),
    2: ("[Not what I expected|I expected more]", "Disappointing", "Below average", "[Not worth the price|Too expensive for this]"),
    1: ("[Do not buy|Avoid]", "[Very disappointed|Poor quality]", "Sent {them} back", "Broken [after a few rides|within weeks]", "[Never again|A waste of money]"),
}  # fmt: skip

_BEGIN = (
    "I [bought|ordered|got] {this} {noun} for [the new season|my daily ride to work|long weekend rides|a tour in the mountains|my partner].",
    "[Used|In use] for [two weeks|three weeks|a month] now.",
    "[My third|My second] one from this shop.",
    "[Arrived on time, well packed|Delivery took a week, but without a scratch].",
    "I was looking for {a} {noun} [for some time|that lasts].",
    "",
)
_BODIES: Mapping[int, tuple[str, ...]] = {
    5: ("{begin} {good}, and {better}. [I would buy {them} again|Five stars|Nothing to complain about|Thank you].",
        "{good}. {better}. [Recommended|A clear recommendation|I have told my friends about {them}].",
        "{begin} {good}. [What more do you want?|I am very pleased.|Money well spent.]"),
    4: ("{begin} {good}, and {better}. [One star less for the price|Only the instructions could be better|Delivery took longer than promised].",
        "{good}. [The size runs a little small|The colour is a bit darker than in the picture|It took some getting used to], but [overall I am happy|I would buy {them} again]."),
    3: ("{begin} {good}. On the other hand, {flaw}. [It will do|I keep {them} for now|For this price I expected a bit more].",
        "[It is okay|Average]: {good}, but {flaw}."),
    2: ("{begin} {flaw}. [At least {good}|Customer service was friendly, though|I will try to repair it]. [I expected more|For {price} that is weak|I would not buy {them} again].",
        "{flaw}. [For {price} that should not happen|That is not what the description promises]."),
    1: ("{begin} {flaw}. [I sent {them} back|I want my money back|Straight into the bin|I cannot recommend {them}].",
        "{flaw}, and that [after only a few rides|within the first month]. [{price} for nothing|I have asked for a refund|I will buy elsewhere next time]."),
}  # fmt: skip

_EDITS = (
    "[Update|Edit] after [a month|two months]: [still the same opinion|I changed the rating|a little wiser now].",
    "[Update|Edit]: [the shop has answered and was helpful|after more rides my opinion has changed].",
)


def write_opinion(rng: random.Random, product_id: int, rating: int) -> tuple[str, str]:
    """Return a title and a text."""
    product = _products().get(product_id)
    thing = thing_of(product)
    praise = rng.sample(_PRAISE.get(thing.noun, _USUAL_PRAISE), 2)
    words = {
        "noun": thing.noun,
        "this": "these" if thing.plural else "this",
        "a": "a pair of" if thing.plural else "an" if thing.noun[0] in "aeiou" else "a",
        "them": "them" if thing.plural else "it",
        "good": choose(rng, _about(thing, praise[0])),
        "better": choose(rng, _about(thing, praise[1])),
        "flaw": choose(rng, rng.choice(_FLAWS.get(thing.noun, tuple(each.symptom for each in thing.defects)))),
        "price": f"${product.list_price:,.2f}" if product else "this price",
    }
    words["begin"] = say(rng, rng.choice(_BEGIN), words)
    return say(rng, rng.choice(_TITLES[rating]), words), say(rng, rng.choice(_BODIES[rating]), words)


def add_to(rng: random.Random, text: str) -> str:
    """Return the text of a review with a sentence that its author added later."""
    return f"{text} {say(rng, rng.choice(_EDITS), {})}"


def _about(thing: Thing, praise: str) -> str:
    """Return the sentence in the plural where the product is one."""
    if thing.plural and praise.startswith("it "):
        verb, _, rest = praise.removeprefix("it ").partition(" ")
        return f"they {_PLURAL.get(verb, verb)} {rest}"
    return praise


_PLURAL = {"was": "were", "is": "are", "works": "work"}


@cache
def _products() -> dict[int, Product]:
    return {product.product_id: product for product in products()}
