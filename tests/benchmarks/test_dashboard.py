"""The dashboard's benchmark changes every control to every value, including controls added later."""

from typing import get_args

from adventure.dashboard.sales.filters import _PERIODS
from adventure.dashboard.sales.metrics import MEASURES, SEGMENTS
from adventure.dashboard.sales.orders import DIMENSIONS, List
from adventure.dashboard.sales.scope import Grain
from benchmarks.dashboard import ORDERS, changes


def test_every_value_of_every_control_is_chosen() -> None:
    chosen: dict[str, set[str]] = {}
    for _, change in changes():
        chosen.setdefault(change.key, set()).add(change.value)
    assert {key: values for key, values in chosen.items() if key not in ("country", "channel")} == {
        "period": {*_PERIODS, "all", "custom"},
        "measure": set(MEASURES),
        "segment": set(SEGMENTS),
        "grain": {*get_args(Grain), "auto"},
        "market": set(MEASURES),
        "top": set(MEASURES),
    }
    assert {"country", "channel"} <= chosen.keys()
    on_orders: dict[str, set[str]] = {}
    for change in ORDERS:
        on_orders.setdefault(change.key, set()).add(change.value)
    assert (on_orders["by"], on_orders["ranked"], on_orders["list"]) == (
        set(DIMENSIONS),
        set(MEASURES),
        set(get_args(List)),
    )
    assert {"period", "country", "channel", "state", "search"} <= on_orders.keys()
