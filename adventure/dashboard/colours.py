"""A fixed colour for each segment, for light and dark pages.

The hues are Okabe and Ito's (jfly.uni-koeln.de/color), adjusted until each has a contrast of 3:1 with the page and any
two stay distinct for colour-blind people. A test computes both.
"""

from collections.abc import Sequence
from typing import Literal

Theme = Literal["light", "dark"]

PALETTES: dict[Theme, tuple[str, ...]] = {
    "light": ("#0058B8", "#DE7900", "#028E70", "#C65200", "#C07EB1", "#5493F8", "#715881"),
    "dark": ("#005FC1", "#E5A702", "#04A274", "#E06605", "#B972C8", "#55C8EB", "#7A6181"),
}
FAINT: dict[Theme, str] = {"light": "#60646E", "dark": "#B4B7BD"}
"""For small text: it contrasts with its page by more than 4.5:1."""
NEUTRAL = "#808080"
"""For marks that are no segment. It contrasts with both pages."""

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
    """Return a colour for each segment. Known segments keep theirs; others get free ones in order of their names."""
    palette = PALETTES[theme]
    taken = {_SLOTS[name] for name in segments if name in _SLOTS}
    free = [slot for slot in range(len(palette)) if slot not in taken] or list(range(len(palette)))
    unknown = sorted(name for name in segments if name not in _SLOTS)
    slots = {name: free[position % len(free)] for position, name in enumerate(unknown)} | _SLOTS
    return [palette[slots[name]] for name in segments]
