"""The processor's failures, as other processes read them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adventure import cli
from adventure.core import failures
from adventure.core.errors import AdventureError, SourceRefused, SourceUnavailable
from adventure.core.failures import Failure, FailureFile

NOW = datetime(2026, 1, 2, 12)
DOWN = SourceUnavailable("the source database does not answer", "Check that it runs")
REFUSED = SourceRefused("permission denied", "Grant select")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    now = [NOW]
    monkeypatch.setattr(failures, "utc_now", lambda: now[0])
    return now


def test_streams_with_the_same_error_are_one_failure(tmp_path: Path, clock: list[datetime]) -> None:
    path = tmp_path / "failures"
    FailureFile(path).report({"orders": DOWN, "lines": DOWN, "chats": REFUSED})
    assert failures.read(path) == (
        Failure(("orders", "lines"), NOW, DOWN.problem, DOWN.remedy),
        Failure(("chats",), NOW, REFUSED.problem, REFUSED.remedy),
    )


def test_a_failure_keeps_the_time_at_which_it_began(tmp_path: Path, clock: list[datetime]) -> None:
    file = FailureFile(tmp_path / "failures")
    reports: list[Mapping[str, AdventureError]] = [{"orders": DOWN}, {"orders": REFUSED}, {}, {"orders": DOWN}]
    since: list[datetime | None] = []
    for errors in reports:
        file.report(errors)
        since.append(next((failure.since for failure in failures.read(tmp_path / "failures")), None))
        clock[0] += timedelta(minutes=1)
    assert since == [NOW, NOW, None, NOW + timedelta(minutes=3)]


def test_a_file_that_cannot_be_written_is_tried_again(tmp_path: Path, clock: list[datetime]) -> None:
    file = FailureFile(tmp_path / "missing" / "failures")
    file.report({"orders": DOWN})
    (tmp_path / "missing").mkdir()
    file.report({"orders": DOWN})
    assert len(failures.read(tmp_path / "missing" / "failures")) == 1


@pytest.mark.parametrize("content", [None, "", "{}", "[1]", '[{"streams": []}]', '[{"since": 3}]', "\x00"])
def test_any_other_file_has_no_failures(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "failures"
    if content is not None:
        path.write_text(content)
    assert failures.read(path) == ()


def test_health_tells_a_processor_that_works_from_one_that_retries(tmp_path: Path) -> None:
    """Both are alive: a restart of the container would not help."""
    heartbeat = tmp_path / "heartbeat"
    heartbeat.write_text("0 1e12\n")
    working = CliRunner().invoke(cli.app, ["health", str(heartbeat)])
    FailureFile(failures.beside(heartbeat)).report({"orders": DOWN})
    retrying = CliRunner().invoke(cli.app, ["health", str(heartbeat)])
    assert (working.exit_code, retrying.exit_code) == (0, 0)
    assert "Failing" not in working.output
    assert "orders: the source database does not answer" in retrying.output
