"""A colour for each segment that stays with it, in a light and a dark page.

The hues are Okabe and Ito's (jfly.uni-koeln.de/color), shifted until each stands out from the page by 3:1 and any two
stay apart for people without red, green or blue cones; a test computes both.
"""

from collections.abc import Sequence
from typing import Literal

Theme = Literal["light", "dark"]

PALETTES: dict[Theme, tuple[str, ...]] = {
    "light": ("#0058B8", "#DE7900", "#028E70", "#C65200", "#C07EB1", "#5493F8", "#715881"),
    "dark": ("#005FC1", "#E5A702", "#04A274", "#E06605", "#B972C8", "#55C8EB", "#7A6181"),
}
NEUTRAL = "#808080"
"""Of what is no segment; stands out from both pages."""

_SLOTS = {
    name: slot
    for slot, name in [
        (0, "United States"), (1, "Australia"), (2, "Canada"), (3, "United Kingdom"), (4, "France"), (5, "Germany"),
        (0, "online"), (1, "reseller"),
        (0, "first-time"), (2, "repeat"),
        (0, "Bikes"), (1, "Components"), (2, "Clothing"), (4, "Accessories"),
        (0, "orders"), (1, "order_details"), (2, "chat_logs"),
        (0, "first_time_customers"), (2, "repeat_customers"), (6, "none"), (3, "unknown"),
        (6, "Unknown"),
    ]
}  # fmt: skip


def colours(segments: Sequence[str], theme: Theme) -> list[str]:
    """A colour for each: known ones keep theirs, others take what is left in the order of their names."""
    palette = PALETTES[theme]
    taken = {_SLOTS[name] for name in segments if name in _SLOTS}
    free = [slot for slot in range(len(palette)) if slot not in taken] or list(range(len(palette)))
    unknown = sorted(name for name in segments if name not in _SLOTS)
    slots = {name: free[position % len(free)] for position, name in enumerate(unknown)} | _SLOTS
    return [palette[slots[name]] for name in segments]
