"""Generate order times: more around noon than at night, more at weekends, slightly more every week."""

import random
from datetime import datetime, timedelta

_NOON_SEC, _SPREAD_SEC, _DAY_SEC = 14 * 3600, 4 * 3600, 86_400
_WEEKDAYS = (0.95, 0.9, 0.95, 1.0, 1.1, 1.2, 1.1)
_GROWTH_A_DAY = 0.006
_LIVE_SPREAD_DAYS = 3.0


def spread(rng: random.Random, now: datetime, days: int) -> datetime:
    """Return a time within the last `days` calendar days, today included, never in the future."""
    while True:
        ago = rng.randrange(days)
        day = (now - timedelta(days=ago)).replace(hour=0, minute=0, second=0, microsecond=0)
        if rng.random() * 1.2 < _WEEKDAYS[day.weekday()] * (1 - _GROWTH_A_DAY * ago):
            moment = _at_daytime(rng, day)
            if moment <= now:
                return moment


def recent(rng: random.Random, now: datetime) -> datetime:
    """Return a time within the last days; recent days are more likely (half of a normal distribution)."""
    while True:
        ago = int(abs(rng.gauss(0, _LIVE_SPREAD_DAYS)))
        day = (now - timedelta(days=ago)).replace(hour=0, minute=0, second=0, microsecond=0)
        moment = _at_daytime(rng, day)
        if moment <= now:
            return moment
        # Early in the day most times of today are still in the future: use the same time one or two days before.
        if ago == 0:
            return moment - timedelta(days=1 + rng.randrange(2))


def _at_daytime(rng: random.Random, day: datetime) -> datetime:
    second = int(rng.gauss(_NOON_SEC, _SPREAD_SEC)) % _DAY_SEC
    return day + timedelta(seconds=second)
