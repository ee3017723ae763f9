"""A short run of `make chaos`: kills under load lose, duplicate, invent and leave nothing."""

from pathlib import Path

import pytest

from tests.chaos.run import run
from tests.chaos.victims import PAUSED, WEIGHTS, schedule

pytestmark = pytest.mark.slow


@pytest.mark.timeout(600)
def test_random_kills_lose_and_duplicate_nothing(tmp_path: Path) -> None:
    report = run(tmp_path, minutes=0.5, seed=4)
    text = "\n".join(report.lines())
    assert report.holds, text
    assert report.lost_by_servers == [], text
    assert report.ended_by_themselves == [], text
    assert set(report.kills) == set(WEIGHTS), text
    assert all(each.rows for each in report.comparisons), text
    assert all(report.changes[job] for job in ("insert", "update", "delete", "rename")), text


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert list(schedule(3, 600)) == list(schedule(3, 600)) != list(schedule(4, 600))
    for seed in (1, 2, 3):
        assert {strike.victim for strike in schedule(seed, 600)} == set(WEIGHTS)
        paused = [strike for strike in schedule(seed, 600) if strike.is_pause]
        assert {strike.victim for strike in paused} == set(PAUSED)
        assert max(strike.down for strike in paused) > 60
