"""The customers: 18,484 individuals who buy online and 635 contacts of stores that buy as resellers.

Individuals have the ids 11000 to 29483, contacts 29484 to 30118. Most individuals live in a few territories; the
stores are spread more evenly.
"""

import random
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

_FIRST_ID = 11_000
_FIRST_CONTACT_ID = 29_484


class _City(NamedTuple):
    name: str
    state: str
    postal_code: str
    """A pattern: `#` stands for a digit, `@` for a letter."""


@dataclass(frozen=True)
class Territory:
    """A sales territory and its share of the history's sales."""

    territory_id: int
    name: str
    country: str
    individuals: int
    contacts: int
    online_orders: int
    """Orders of individuals in the history. Customers of some territories buy more often."""
    reseller_orders: int
    sales_person_ids: tuple[int, ...]
    cities: tuple[_City, ...]


# fmt: off
TERRITORIES: tuple[Territory, ...] = (
    Territory(1, "Northwest", "United States", 3341, 87, 4058, 536, (276, 280, 284), (
        _City("Seattle", "Washington", "981##"), _City("Bellingham", "Washington", "9822#"), _City("Spokane", "Washington", "992##"),
        _City("Tacoma", "Washington", "984##"), _City("Portland", "Oregon", "972##"), _City("Salem", "Oregon", "9730#"),
        _City("Boise", "Idaho", "837##"))),
    Territory(2, "Northeast", "United States", 8, 49, 10, 342, (275, 277), (
        _City("New York", "New York", "100##"), _City("Boston", "Massachusetts", "021##"), _City("Columbus", "Ohio", "432##"),
        _City("Hartford", "Connecticut", "061##"), _City("Indianapolis", "Indiana", "462##"))),
    Territory(3, "Central", "United States", 8, 61, 9, 376, (275, 277), (
        _City("Chicago", "Illinois", "606##"), _City("Detroit", "Michigan", "482##"), _City("Saint Louis", "Missouri", "631##"),
        _City("Denver", "Colorado", "802##"), _City("Minneapolis", "Minnesota", "554##"))),
    Territory(4, "Southwest", "United States", 4450, 115, 5473, 751, (276, 281), (
        _City("Los Angeles", "California", "900##"), _City("San Diego", "California", "921##"), _City("Oakland", "California", "946##"),
        _City("San Francisco", "California", "941##"), _City("Burbank", "California", "915##"), _City("Sacramento", "California", "958##"),
        _City("Phoenix", "Arizona", "850##"), _City("Austin", "Texas", "787##"))),
    Territory(5, "Southeast", "United States", 12, 79, 17, 469, (275, 279), (
        _City("Miami", "Florida", "331##"), _City("Atlanta", "Georgia", "303##"), _City("Nashville", "Tennessee", "372##"),
        _City("Charlotte", "North Carolina", "282##"), _City("Richmond", "Virginia", "232##"))),
    Territory(6, "Canada", "Canada", 1571, 106, 3375, 692, (278, 282), (
        _City("Vancouver", "British Columbia", "V#@ #@#"), _City("Victoria", "British Columbia", "V#@ #@#"),
        _City("Burnaby", "British Columbia", "V#@ #@#"), _City("Toronto", "Ontario", "M#@ #@#"),
        _City("Calgary", "Alberta", "T#@ #@#"), _City("Montreal", "Quebec", "H#@ #@#"))),
    Territory(7, "France", "France", 1810, 34, 2484, 188, (290,), (
        _City("Paris", "Seine (Paris)", "750##"), _City("Lille", "Nord", "590##"), _City("Versailles", "Yveline", "780##"),
        _City("Saint-Denis", "Seine Saint Denis", "932##"), _City("Orleans", "Loiret", "450##"))),
    Territory(8, "Germany", "Germany", 1780, 32, 2484, 139, (288,), (
        _City("Berlin", "Brandenburg", "101##"), _City("Hamburg", "Hamburg", "200##"), _City("München", "Bayern", "803##"),
        _City("Frankfurt am Main", "Hessen", "603##"), _City("Köln", "Nordrhein-Westfalen", "506##"),
        _City("Saarbrücken", "Saarland", "661##"))),
    Territory(9, "Australia", "Australia", 3591, 34, 6718, 125, (286,), (
        _City("Sydney", "New South Wales", "20##"), _City("Newcastle", "New South Wales", "230#"), _City("Brisbane", "Queensland", "40##"),
        _City("Townsville", "Queensland", "481#"), _City("Melbourne", "Victoria", "30##"), _City("Hobart", "Tasmania", "700#"),
        _City("Adelaide", "South Australia", "50##"))),
    Territory(10, "United Kingdom", "United Kingdom", 1913, 38, 3031, 188, (289,), (
        _City("London", "England", "SW# #@@"), _City("Cambridge", "England", "CB# #@@"), _City("Oxford", "England", "OX# #@@"),
        _City("Leeds", "England", "LS# #@@"), _City("York", "England", "YO# #@@"), _City("Liverpool", "England", "L# #@@"))),
)
# fmt: on

# One string to split is easier to read than two hundred quoted words.
# ruff: noqa: SIM905
_FIRST_NAMES = (
    "Ada Adam Aisha Alan Alice Amelia Amir Ana Andre Anna Anton Arthur Aurora Bea Ben Bianca Boris Bruno Camille Carla "
    "Carlos Chen Chloe Clara Colin Daisy Dan Daria David Diego Edith Elena Eli Elsa Emil Emma Eric Esther Eva Farah "
    "Felix Fiona Frank Freya Gabriel Gina Grace Greta Hana Hannah Hector Henry Hugo Ida Ines Iris Isaac Ivan Ivy Jack "
    "Jade Jan Jane Jasper Joan Joel Jonas Josef Julia June Karim Kate Keiko Kevin Kim Lara Laura Lea Leo Lily Linus Lisa "
    "Lola Louis Lucy Luis Lukas Mai Marco Maria Marta Max Maya Mia Milo Mina Nadia Nathan Nina Noah Nora Olga Oliver "
    "Omar Oscar Otto Owen Paula Pedro Petra Philip Pia Priya Quinn Rafael Rosa Ruth Ryan Sam Sara Sean Selma Simon Sofia "
    "Stella Sven Tara Theo Tim Tom Uma Vera Victor Violet Walter Wanda Wei Will Xenia Yara Yusuf Zoe"
).split()
_LAST_NAMES = (
    "Abbott Adler Ahmed Alvarez Andersen Arnold Baker Barnes Bauer Becker Bell Bennett Berg Bianchi Blanc Bond Braun "
    "Brooks Brown Bruun Byrne Campbell Carter Castro Chan Clark Cohen Cole Cooper Costa Cruz Dahl Davis Diaz Dixon Duarte "
    "Dubois Dunn Ellis Evans Ferrari Fischer Fisher Fleming Flores Ford Fox Fraser Fuchs Garcia Gibson Gomez Graf Graham "
    "Grant Green Gupta Haas Hall Hansen Harris Hayes Hill Hoffmann Horn Hughes Hunt Ito Ivanov Jansen Jensen Jones Kaiser "
    "Kaur Keller Kelly Khan King Klein Koch Kowalski Kumar Lane Lang Larsen Lee Lehmann Lewis Lopez Lund Malik Marsh "
    "Martin Mason Mayer Meyer Miller Mills Molina Moore Morel Moreno Morris Murphy Nash Nguyen Novak Olsen Ortiz Owens "
    "Park Parker Patel Perez Peters Pham Porter Price Quinn Ramos Reed Reyes Rice Richter Rivera Roberts Rossi Roth Roy "
    "Russo Sanchez Santos Sato Schmidt Schulz Shah Shaw Silva Singh Smith Sousa Stein Stone Suzuki Tanaka Taylor Thomas "
    "Torres Tran Turner Vance Vargas Vogel Walker Wagner Wang Ward Weber West White Wolf Wong Wood Wright Yang Young Zhang"
).split()
_STREETS = (
    "Alder Ash Beech Birch Bridge Brook Canal Castle Cedar Cherry Church Clover Creek Elm Fern Field Forest Garden Glen "
    "Harbor Hazel Hill Holly Juniper Lake Laurel Lime Linden Maple Market Meadow Mill Oak Orchard Park Pine Poplar Ridge "
    "River Rose School Spring Spruce Station Sunset Valley View Walnut Willow Wood"
).split()
_STREET_KINDS = ("Avenue", "Court", "Drive", "Lane", "Place", "Road", "Street", "Way")


@dataclass(frozen=True)
class Customer:
    """A person who buys online, or on behalf of a store."""

    customer_id: int
    first_name: str
    middle_name: str | None
    last_name: str
    email: str
    address_line1: str
    address_line2: str | None
    city: str
    state: str
    country: str
    """Full English name."""
    postal_code: str
    territory_id: int
    is_reseller: bool
    account_number: str
    """The account on orders: `10-4030-` and the id in six digits; for resellers `10-4020-` and the store's number."""
    sales_person_id: int | None
    """The sales person who serves the store; None for individuals."""

    @property
    def full_name(self) -> str:
        return " ".join(filter(None, (self.first_name, self.middle_name, self.last_name)))

    @property
    def customer_number(self) -> str:
        """Return the account number in the customer database: `AW` and the id in eight digits."""
        return f"AW{self.customer_id:08d}"

    @property
    def address_id(self) -> int:
        """Return the id that orders give as billing and as shipping address."""
        return self.customer_id + 2_000

    @property
    def credit_card_id(self) -> int:
        """Return the id of the credit card, for orders paid with one."""
        return self.customer_id * 7 % 19_237 + 1


@cache
def customers() -> tuple[Customer, ...]:
    """Return all 19,119 customers, ordered by id."""
    rng = random.Random(_FIRST_ID)
    homes = [territory for territory in TERRITORIES for _ in range(territory.individuals)]
    rng.shuffle(homes)
    stores = [territory for territory in TERRITORIES for _ in range(territory.contacts)]
    rng.shuffle(stores)
    return tuple(_customer(_FIRST_ID + index, home, rng) for index, home in enumerate([*homes, *stores]))


def _customer(customer_id: int, territory: Territory, rng: random.Random) -> Customer:
    is_reseller = customer_id >= _FIRST_CONTACT_ID
    first_name, city = rng.choice(_FIRST_NAMES), rng.choice(territory.cities)
    street = f"{rng.randint(1, 9999)} {rng.choice(_STREETS)} {rng.choice(_STREET_KINDS)}"
    return Customer(
        customer_id=customer_id,
        first_name=first_name,
        middle_name=rng.choice("ABCDEFGHJKLMNPRSTVW") if rng.random() < 0.55 else None,
        last_name=rng.choice(_LAST_NAMES),
        # The id makes the address unique; example.com receives no mail.
        email=f"{first_name.lower()}{customer_id}@example.com",
        address_line1=street,
        address_line2=f"Unit {rng.randint(1, 99)}" if rng.random() < 0.02 else None,
        city=city.name,
        state=city.state,
        country=territory.country,
        postal_code="".join(_postal_character(symbol, rng) for symbol in city.postal_code),
        territory_id=territory.territory_id,
        is_reseller=is_reseller,
        account_number=(
            f"10-4020-{customer_id - _FIRST_CONTACT_ID + 1:06d}" if is_reseller else f"10-4030-{customer_id:06d}"
        ),
        sales_person_id=rng.choice(territory.sales_person_ids) if is_reseller else None,
    )


def _postal_character(symbol: str, rng: random.Random) -> str:
    if symbol == "#":
        return rng.choice("0123456789")
    return rng.choice("ABCDEGHJKLMNPRSTVXYZ") if symbol == "@" else symbol
