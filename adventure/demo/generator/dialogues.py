"""Write the dialogue between a customer and an agent: every turn refers to the ones before, and the outcome fits.

A dialogue depends only on its key and on the facts of the order, so that an agent's answer can be added later without
storing the rest of the dialogue.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache

from adventure.demo.catalogue import Customer, Product, customers, products
from adventure.demo.generator.matters import MATTERS, Matter, Outcome
from adventure.demo.generator.things import Thing, thing_of

CHANNELS = ("Email", "Phone", "Chat", "Social media")
OPEN, CUSTOMER_TO_ANSWER, PENDING, CLOSED = "Open", "Pending Customer Response", "Pending", "Closed"

_CHANNEL_SHARES = (0.4, 0.2, 0.3, 0.1)
# For each channel: the usual minutes until an answer of the agent, of the customer, and until the last words.
_MINUTES = {"Email": (150, 200, 400), "Phone": (1, 1, 6), "Chat": (3, 2, 8), "Social media": (30, 45, 90)}
_SHIP_AFTER = timedelta(days=7)
_RATINGS = {"happy": (1, 3, 12, 38, 46), "neutral": (5, 12, 38, 32, 13), "unhappy": (24, 34, 27, 11, 4)}
_AGENTS = ("Mara", "Jonas", "Priya", "Tom", "Elena", "Sam", "Aiko", "Luca")
_HELLO = {
    "Email": "[Hello|Good morning|Good afternoon|Dear team], ",
    "Phone": "[Hello, this is {first}. |Hi, {first} {last} speaking. |Good morning, my name is {last}. ]",
    "Chat": "[Hi|Hello|Hey], [|is anybody there? ]",
    "Social media": "[Hi|Hello|Hey there], ",
}
_BYE = {
    "Email": "[ Best regards, {first}| Kind regards, {first} {last}| Thanks, {first}|]",
    "Social media": "[ Thanks!|]",
}
_ANSWER = (
    "[Hello|Hi] {first}, [this is {agent}|{agent} here|my name is {agent}]. [|Thank you for {writing}. ]{question}"
)
_THANKS = {
    "happy": "[Great, thank you|Perfect, thanks a lot|That was quick, thank you|Wonderful|Thank you, {agent}]!",
    "neutral": (
        "[All right, thank you|Okay, thanks for the explanation|Fine, let us see"
        "|Thank you. I will write if anything else comes up]."
    ),
    "unhappy": (
        "[That is a pity|I had hoped for more|Okay, but I am not happy about it|I understand, though I do not like it]."
    ),
}
_SUGGESTIONS = {
    "Sprint": ("HL Road Tire", "Road Bottle Cage", "Racing Socks", "Half-Finger Gloves"),
    "Summit": ("HL Mountain Tire", "Mountain Bottle Cage", "Mountain Fender Set", "Hydration Pack"),
    "Voyager": ("Touring Tire", "Water Bottle", "Short-Sleeve Jersey", "Half-Finger Gloves"),
    "": ("Patch Kit", "Bike Wash", "Classic Vest", "Guardian Helmet", "Water Bottle"),
}
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SENTENCE = re.compile(r"(?:^|(?<=[.!?] ))[a-z]")


@dataclass(frozen=True)
class Facts:
    """What a dialogue is about."""

    customer_id: int
    product_id: int
    order_date: datetime
    started: datetime
    order_number: str = ""
    """Only the customer's first message mentions it."""
    outage: bool = False
    """The customer could not pay, as the checkout failed."""


@dataclass(frozen=True)
class Turn:
    """One message, and the status of the chat after it."""

    sender: str
    text: str
    minutes: int
    """Minutes after the message before."""
    status: str


@dataclass(frozen=True)
class Dialogue:
    """A whole dialogue."""

    kind: str
    subject: str
    channel: str
    priority: str
    turns: tuple[Turn, ...]
    resolution: str
    rating: int


def write_dialogue(key: str, facts: Facts) -> Dialogue:
    """Return the dialogue of the chat with this key."""
    rng = random.Random(key)
    product, customer = _products().get(facts.product_id), _customer(facts.customer_id)
    matter = _choose_matter(rng, facts, thing_of(product))
    outcome = rng.choices(matter.outcomes, [each.weight for each in matter.outcomes])[0]
    channel = rng.choices(CHANNELS, _CHANNEL_SHARES)[0]
    words = _words(rng, facts, product, customer, channel)
    return Dialogue(
        kind=matter.kind,
        subject=matter.subject,
        channel=channel,
        priority=rng.choice(matter.priorities),
        turns=_turns(rng, matter, outcome, channel, words),
        resolution=say(rng, outcome.resolution, words),
        rating=rng.choices((1, 2, 3, 4, 5), _RATINGS[outcome.mood])[0],
    )


def _turns(
    rng: random.Random, matter: Matter, outcome: Outcome, channel: str, words: Mapping[str, str]
) -> tuple[Turn, ...]:
    first, then, last = (max(1, round(rng.expovariate(1 / usual))) for usual in _MINUTES[channel])
    opening = say(rng, f"{_HELLO[channel]}{matter.opening}{_BYE.get(channel, '')}", words)
    question = say(rng, _ANSWER, {**words, "question": say(rng, matter.question, words)})
    answer = say(rng, outcome.answer or matter.answer, words)
    return (
        Turn("customer", opening, 0, OPEN),
        Turn("agent", question, first, CUSTOMER_TO_ANSWER),
        Turn("customer", answer, then, PENDING),
        Turn("agent", say(rng, outcome.reply, words), last, PENDING),
        Turn("customer", say(rng, _THANKS[outcome.mood], words), then, CLOSED),
    )


def _choose_matter(rng: random.Random, facts: Facts, thing: Thing) -> Matter:
    delivered = facts.started >= facts.order_date + _SHIP_AFTER
    times = ("outage",) if facts.outage else ("any", "after" if delivered else "before")
    suits = {
        "all": True,
        "worn": thing.worn,
        "bike": thing.noun in ("bike", "frame"),
        "mounted": thing.mounted,
    }
    possible = [each for each in MATTERS if each.when in times and suits[each.about]]
    return rng.choices(possible, [each.weight for each in possible])[0]


def _words(
    rng: random.Random, facts: Facts, product: Product | None, customer: Customer | None, channel: str
) -> dict[str, str]:
    """Return the facts that the texts name."""
    thing = thing_of(product)
    defect = rng.choice(thing.defects)
    price = product.list_price if product else Decimal(50)
    name = product.name if product else "product"
    series = next((word for word in _SUGGESTIONS if word and word in name), "")
    words = {
        "product": re.sub(r", (\w+)$", r" (\1)", name),
        "noun": thing.noun,
        "it": "they" if thing.plural else "it",
        "them": "them" if thing.plural else "it",
        "is": "are" if thing.plural else "is",
        "Is": "Are" if thing.plural else "Is",
        "has": "have" if thing.plural else "has",
        "price": _dollars(price),
        "cheaper": _dollars(price * Decimal("0.85")),
        "third": _dollars(price / 3),
        "symptom": defect.symptom,
        "question": defect.question,
        "answer": defect.answer,
        "advice": defect.advice,
        **{f"fit_{part}": getattr(thing.fit, part) for part in ("question", "needed", "answer", "verdict")},
        **{f"setup_{part}": getattr(thing.setup, part) for part in ("question", "needed", "answer", "verdict")},
        "order": facts.order_number,
        "date": _day(facts.order_date),
        "ship": _day(facts.order_date + _SHIP_AFTER),
        "first": customer.first_name if customer else "there",
        "last": customer.last_name if customer else "",
        "city": customer.city if customer else "town",
        "agent": rng.choice([name for name in _AGENTS if not customer or name != customer.first_name]),
        "writing": "calling" if channel == "Phone" else "writing",
        "suggestion": rng.choice(_SUGGESTIONS[series]),
    }
    # Choose once, so that all messages say the same.
    return {name: choose(rng, text) for name, text in words.items()}


def say(rng: random.Random, text: str, words: Mapping[str, str]) -> str:
    """Return the text with its facts filled in and one of each alternatives chosen; sentences begin with a capital."""
    text = choose(rng, text)
    while "{" in text:
        # Facts name other facts.
        text = text.format_map(words)
    return _SENTENCE.sub(lambda found: found[0].upper(), text.strip())


def choose(rng: random.Random, text: str) -> str:
    """Return the text with one of each alternatives, the innermost first."""
    while "[" in text:
        text = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), text)
    return text


@cache
def _products() -> dict[int, Product]:
    return {product.product_id: product for product in products()}


def _customer(customer_id: int) -> Customer | None:
    everybody = customers()
    index = customer_id - everybody[0].customer_id
    return everybody[index] if 0 <= index < len(everybody) else None


def _dollars(amount: Decimal) -> str:
    return f"${amount:,.2f}"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B}"
