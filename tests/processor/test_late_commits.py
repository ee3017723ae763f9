"""A short run of `make stress`: many writers, open transactions, processors in tight cycles, and a full count."""

from pathlib import Path

import pytest

from adventure.demo.sandbox import Sandbox
from benchmarks.late_commits.scenarios import SCENARIOS, Load, Scenario
from benchmarks.late_commits.stress import stress
from benchmarks.late_commits.system import PostgresSystem

pytestmark = pytest.mark.slow

LOAD = Load(rows=4000, longest=1.0, processors=2)
SHORTER = 0.1
"""The factor for the clock errors of the scenarios. The lookbacks stay long, because test machines may be busy."""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_rows_that_commit_late_are_read(sandbox: Sandbox, tmp_path: Path, scenario: Scenario) -> None:
    name = f"stress_{SCENARIOS.index(scenario)}"
    figures = stress(PostgresSystem(sandbox, tmp_path, name), scenario.shortened(SHORTER), LOAD)
    assert figures.faults(scenario) == []
    assert figures.written >= LOAD.rows
    if scenario.clock.of == "server":
        assert figures.plain_missing > 0, "or nothing was late"
    if not scenario.lossless:
        assert figures.missing > 0, "or nothing exceeded the lookback"
