"""`adventure check` raises no alarm while a writer, the processor, loads and builds work."""

from pathlib import Path

import pytest

from adventure.demo.sandbox import Sandbox
from tests import check_loop


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_check_alarms_while_everything_runs(sandbox: Sandbox, tmp_path: Path) -> None:
    outcome = check_loop.run(sandbox, tmp_path / "data", runs=25)
    assert outcome.alarms == {}
    assert outcome.in_flight, "no check saw rows in flight"
    assert outcome.worked["loads"] > 2
