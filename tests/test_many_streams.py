"""Many streams in one pipeline: see `tests.many_streams`, which `make many-streams` runs with a thousand."""

from pathlib import Path

import pytest

from adventure.demo.sandbox import Sandbox
from tests import many_streams


@pytest.mark.slow
def test_many_tables_arrive_whole_and_one_that_is_gone_stops_no_other(sandbox: Sandbox, tmp_path: Path) -> None:
    found = many_streams.run(sandbox, tmp_path / "data", 40)
    assert found.first_windows == {f"t{number}" for number in range(40) if number % 7}
    assert found.second_windows == {"t0", "t20"}
    assert found.failures == {"t1"}
    assert found.raw == found.source
