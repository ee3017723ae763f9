"""The numbers of orders and lines in each month of the history, as in the AdventureWorks sample.

These are aggregate facts about that public sample (Microsoft, MIT licence); none of its rows are here.
"""

from datetime import date
from typing import NamedTuple

FIRST_ORDER_ID = 43_659
FIRST_DAY = date(2011, 5, 31)
"""The first day with orders; the catalogue's first products are sold from this day on."""
FULL_RANGE_SINCE = (2013, 6)
"""Year and month from which individuals buy several products at once; before, they bought one bicycle at a time."""


class Month(NamedTuple):
    """A month of orders. Online orders arrive every day, reseller orders on one day of the month."""

    year: int
    month: int
    online_orders: int
    online_lines: int
    online_bikes: int
    reseller_orders: int
    reseller_lines: int
    reseller_day: int

    @property
    def first_day(self) -> date:
        return max(date(self.year, self.month, 1), FIRST_DAY)

    @property
    def last_day(self) -> date:
        return date.fromordinal(date(self.year + self.month // 12, self.month % 12 + 1, 1).toordinal() - 1)


MONTHS: tuple[Month, ...] = (
    Month(2011, 5, 5, 5, 5, 38, 352, 31),
    Month(2011, 6, 141, 141, 141, 0, 0, 0),
    Month(2011, 7, 156, 156, 156, 75, 785, 1),
    Month(2011, 8, 150, 150, 150, 100, 1092, 1),
    Month(2011, 9, 157, 157, 157, 0, 0, 0),
    Month(2011, 10, 174, 174, 174, 153, 1909, 1),
    Month(2011, 11, 230, 230, 230, 0, 0, 0),
    Month(2011, 12, 188, 188, 188, 40, 377, 1),
    Month(2012, 1, 193, 193, 193, 143, 1519, 1),
    Month(2012, 2, 182, 182, 182, 37, 494, 29),
    Month(2012, 3, 219, 219, 219, 85, 1112, 30),
    Month(2012, 4, 201, 201, 201, 68, 819, 30),
    Month(2012, 5, 221, 221, 221, 72, 1723, 30),
    Month(2012, 6, 251, 251, 251, 139, 2964, 30),
    Month(2012, 7, 274, 274, 274, 111, 2185, 31),
    Month(2012, 8, 212, 212, 212, 73, 1406, 30),
    Month(2012, 9, 219, 219, 219, 133, 2345, 30),
    Month(2012, 10, 207, 207, 207, 114, 1732, 30),
    Month(2012, 11, 318, 318, 318, 65, 983, 30),
    Month(2012, 12, 246, 246, 246, 132, 1664, 31),
    Month(2013, 1, 294, 294, 294, 106, 1215, 28),
    Month(2013, 2, 251, 251, 251, 74, 1449, 28),
    Month(2013, 3, 307, 307, 307, 134, 2306, 30),
    Month(2013, 4, 326, 326, 326, 102, 1698, 30),
    Month(2013, 5, 333, 383, 333, 95, 2189, 30),
    Month(2013, 6, 533, 1444, 498, 186, 3766, 30),
    Month(2013, 7, 1564, 3793, 497, 176, 3768, 31),
    Month(2013, 8, 1690, 4087, 608, 99, 1813, 30),
    Month(2013, 9, 1612, 3979, 604, 179, 2911, 30),
    Month(2013, 10, 1792, 4399, 749, 176, 3032, 30),
    Month(2013, 11, 2007, 5025, 1004, 96, 1385, 30),
    Month(2013, 12, 1875, 4671, 797, 175, 2082, 31),
    Month(2014, 1, 1966, 4865, 897, 175, 2180, 29),
    Month(2014, 2, 1753, 4273, 798, 3, 8, 28),
    Month(2014, 3, 2128, 5308, 1026, 271, 4647, 31),
    Month(2014, 4, 2113, 5295, 1086, 2, 7, 30),
    Month(2014, 5, 2232, 5624, 1186, 179, 3002, 1),
    Month(2014, 6, 939, 2130, 0, 0, 0, 0),
)

ORDERS_PER_INDIVIDUAL = {2: 5_453, 3: 1_165, 4: 148}
"""Number of individuals by number of orders; 92 others ordered more often, and the rest once."""
FREQUENT_INDIVIDUALS = 92
ORDERS_PER_CONTACT = {1: 30, 2: 19, 3: 38, 4: 236, 5: 19, 6: 19, 7: 33, 8: 149, 9: 10, 10: 8, 11: 10, 12: 64}
"""Number of store contacts by number of orders."""

# Lines of an online order since FULL_RANGE_SINCE (count, share), and of a reseller's order (quantile, count).
ONLINE_LINES = ((1, 0.192), (2, 0.368), (3, 0.265), (4, 0.139), (5, 0.031), (6, 0.005))
RESELLER_LINES = (
    (0.0, 1), (0.155, 1), (0.231, 2), (0.297, 3), (0.353, 4), (0.5, 9), (0.75, 26), (0.9, 41), (0.99, 58), (1.0, 72),
)  # fmt: skip
MAX_ONLINE_LINES, MAX_RESELLER_LINES = 8, 72
MOST_RESELLER_LINES = 58
"""99 of 100 reseller orders have at most this many lines, in every month."""

# Quantity of a reseller's line: the shares of 1 to 6. From 7 on, each is 0.78 times as frequent as the one before.
RESELLER_QUANTITY = (0.239, 0.233, 0.165, 0.123, 0.072, 0.054)
RESELLER_QUANTITY_DECAY, MAX_QUANTITY = 0.78, 44
RESELLER_CHEAP, RESELLER_APPETITE = 0.47, 0.7
"""Lines get the quantities in ascending order of a score: a random number from 0 to 1, plus RESELLER_CHEAP for cheap
products, plus up to RESELLER_APPETITE for an order. The first sets the mean order total, the second the largest."""

VOLUME_DISCOUNTS = ((10, 178), (5, 606), (2, 1_310))
"""Per cent and number of lines; the largest quantities get the largest discount."""
OFFER_DISCOUNTS = ((15, 590), (20, 231), (30, 61), (35, 137), (40, 169))
"""Per cent and number of lines, whatever the quantity."""
RESELLER_PRICES = ((60, 0.71), (54, 0.10), (58, 0.10), (55, 0.09))
"""Price in per cent of the list price, and its share of the lines."""

CLOTHING_SHARE = 0.2014
"""Share of clothing in the online lines without bicycles; the rest are accessories."""
RESELLER_CATEGORIES = {
    "Accessories": (0.086, 0.0),
    "Bikes": (0.414, 0.7),
    "Clothing": (0.218, -0.5),
    "Components": (0.282, -0.08),
}
"""The share of each category in the resellers' lines, and the power of the price that weights its products.

The resulting shares differ slightly, since no order contains a product twice.
"""

# Number of orders with a credit card and with a currency rate: (2013-03, all other months).
CARDS = {"online": (291, 26_244), "reseller": (134, 3_665)}
CURRENCY_RATES = {"online": (158, 12_641), "reseller": (37, 1_140)}
