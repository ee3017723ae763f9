"""The pages at other times than right after the last sale: after a pause, at midnight, with a clock that is behind."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.dashboard.harness import link_of

_NOW = datetime.now(UTC).replace(tzinfo=None)
_MIDNIGHT = _NOW.replace(hour=0, minute=0, second=0, microsecond=0)
TIMES = {
    "an hour of pause": _NOW + timedelta(hours=1),
    "midnight": _MIDNIGHT + timedelta(days=1),
    "a weekend of pause": _NOW + timedelta(days=3),
    "five weeks of pause": _NOW + timedelta(weeks=5),
    "the next year": datetime(_NOW.year + 1, 2, 3, 9),
    "three years of pause": datetime(_NOW.year + 3, 2, 28, 23, 59),
    "a clock that is two days behind": _NOW - timedelta(days=2),
    "a clock that is a year behind": _NOW - timedelta(days=365),
    "a clock that is before all sales": datetime(2010, 1, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize(("page", "period"), [("page", "3d"), ("page", "all"), ("orders_page", "30d")])
def test_a_page_is_drawn_at_any_time(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, page: str, time: str, period: str
) -> None:
    monkeypatch.setattr(f"adventure.dashboard.sales.{page}.utc_now", lambda: TIMES[time])
    shown = opened(f"from adventure.dashboard.sales import {page} as page\npage.show()", period=period)
    assert link_of(shown)["period"] == [period]
    assert not shown.error
