"""Rows in flight are no differences, late rows are found, and a repair works beside a running processor."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from adventure import cli
from adventure.cli import compare
from adventure.core.errors import AlreadyRunning
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import read_watermarks
from adventure.processor.state_session import repairing
from adventure.reconcile import run as running
from adventure.reconcile.comparison import Comparison
from adventure.reconcile.lateness import Lateness
from adventure.reconcile.run import Report, reconcile
from tests.processor.conftest import stream_of, writer

Execute = Callable[..., None]


@pytest.fixture
def things(writer_settings: Settings) -> Stream:
    with writer(writer_settings) as connection:
        connection.execute(
            "create table things (id integer primary key, changed_at timestamp default (now() at time zone 'utc'),"
            " amount numeric(9, 2))"
        )
        connection.execute("create index on things (changed_at)")
    return stream_of("things")


@pytest.fixture
def execute(writer_settings: Settings) -> Execute:
    def run(statement: str, *values: object) -> None:
        with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as connection:
            connection.execute(statement, values)  # type: ignore[arg-type]

    return run


def load(settings: Settings, stream: Stream) -> None:
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(stream)
    warehouse.cleanup(stream)


def found(settings: Settings, stream: Stream, **options: Any) -> tuple[Report, dict[str, int]]:
    ((report),) = reconcile(settings, [stream], **options)
    assert report.result is not None
    return report, {verdict: difference.rows for verdict, difference in report.result.verdicts.items()}


def now(**ago: float) -> datetime:
    return (datetime.now(UTC) - timedelta(**ago)).replace(tzinfo=None)


def test_a_stream_that_was_never_read_has_no_differences(settings: Settings, things: Stream) -> None:
    ((report),) = reconcile(settings, [things])
    assert (report.result, report.is_clean) == (None, True)


def test_rows_in_flight_are_no_differences(settings: Settings, things: Stream, execute: Execute) -> None:
    execute("insert into things (id) values (1), (2), (3)")
    process_once(settings, [things])
    load(settings, things)
    execute("update things set amount = 1, changed_at = now() at time zone 'utc' where id = 1")
    process_once(settings, [things])
    execute("update things set amount = 2, changed_at = now() at time zone 'utc' where id = 2")
    execute("insert into things (id) values (4)")
    report, verdicts = found(settings, things)
    assert report.is_clean
    assert verdicts == {"in flight": 2}, "row 1 waits in the stage, row 2 for the next window; row 4 was never held"


def test_rows_later_than_the_lookback_are_found_and_repaired(
    settings: Settings, things: Stream, execute: Execute
) -> None:
    stream = replace(things, lookback=timedelta(seconds=30))
    execute("insert into things (id) values (1)")
    process_once(settings, [stream])
    execute("insert into things (id, changed_at) values (2, %s), (3, %s)", now(seconds=5), now(seconds=300))
    process_once(settings, [stream])
    load(settings, stream)
    report, verdicts = found(settings, stream)
    assert verdicts == {"missing": 1}
    assert report.result is not None
    assert [example.key for example in report.result.verdicts["missing"].examples] == ["3"]
    assert report.lateness == Lateness.of({1: 1}, {3: 1}), "row 2 landed within 10 s, row 3 is within 10 min"
    assert report.lateness.lookback == timedelta(minutes=10)
    found(settings, stream, repair=True)
    load(settings, stream)
    report, verdicts = found(settings, stream)
    assert verdicts == {}
    assert report.lateness == Lateness.of({1: 1}, {}), "a repair is no late row"


def test_rows_read_again_after_a_restart_are_not_late(settings: Settings, things: Stream, execute: Execute) -> None:
    stream = replace(things, lookback=timedelta(seconds=60))
    execute("insert into things (id) values (1)")
    process_once(settings, [stream])
    load(settings, stream)
    execute("insert into things (id) values (2)")
    process_once(settings, [stream])
    load(settings, stream)
    report, _ = found(settings, stream)
    assert report.lateness == Lateness.of({}, {})


def test_rejected_rows_are_counted_separately(settings: Settings, things: Stream, execute: Execute) -> None:
    execute("insert into things (id, amount) values (1, 1), (2, 'NaN')")
    process_once(settings, [things])
    assert found(settings, things)[1] == {"rejected": 1, "in flight": 1}
    load(settings, things)
    report, verdicts = found(settings, things)
    assert (report.is_clean, verdicts) == (True, {"rejected": 1})
    # A later version that can be converted, and was lost, counts as missing.
    execute("update things set amount = 2, changed_at = changed_at + interval '1 microsecond' where id = 2")
    execute("insert into things (id) values (3)")
    process_once(settings, [things])
    for window in FolderStage(settings.stage_dir).windows(things.stage):
        FolderStage(settings.stage_dir).remove(window)
    execute("insert into things (id) values (4)")
    process_once(settings, [things])
    load(settings, things)
    assert found(settings, things)[1] == {"missing": 2}


def test_only_the_given_range_is_compared(settings: Settings, things: Stream, execute: Execute) -> None:
    moments = [datetime(2026, 1, day) for day in (1, 2, 3)]
    for number, moment in enumerate(moments):
        execute("insert into things (id, changed_at) values (%s, %s)", number, moment)
    process_once(settings, [things])
    load(settings, things)
    execute("delete from things")
    execute("insert into things (id, changed_at) values (9, '2026-02-01')")
    ((report),) = reconcile(settings, [things], low=moments[1], high=moments[2])
    assert report.result is not None
    assert report.result.count("deleted") == 1
    assert [example.key for example in report.result.verdicts["deleted"].examples] == ["1"]


def test_a_row_that_comes_back_before_the_repair_is_not_marked_as_deleted(
    settings: Settings, things: Stream, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute("insert into things (id) values (1), (2)")
    process_once(settings, [things])
    load(settings, things)
    execute("delete from things")
    run = Comparison.run

    def and_then_it_comes_back(*arguments: object, **options: object) -> object:
        result = run(*arguments, **options)  # type: ignore[arg-type]
        execute("insert into things (id) values (1)")
        return result

    monkeypatch.setattr(Comparison, "run", and_then_it_comes_back)
    report, verdicts = found(settings, things, repair=True)
    assert verdicts == {"deleted": 2}
    assert report.repaired is not None
    assert report.repaired.deleted == 1
    monkeypatch.undo()
    process_once(settings, [things])
    load(settings, things)
    assert found(settings, things)[1] == {}


def test_a_deletion_is_older_than_any_row_written_after_it(
    settings: Settings, writer_settings: Settings, things: Stream, execute: Execute
) -> None:
    execute("insert into things (id) values (1), (2)")
    process_once(settings, [things])
    load(settings, things)
    execute("delete from things where id = 1")
    with psycopg.connect(writer_settings.postgres_dsn) as late:
        # Its cursor is the start of this transaction, which is before the comparison; it commits after the repair.
        late.execute("select now()")
        report, _ = found(settings, things, repair=True)
        assert report.repaired is not None
        assert report.repaired.deleted == 1
        late.execute("insert into things (id) values (1)")
    process_once(settings, [things])
    load(settings, things)
    assert found(settings, things)[1] == {}


def test_a_repair_window_moves_no_watermark_and_survives_a_restart(
    settings: Settings, things: Stream, execute: Execute
) -> None:
    execute("insert into things (id) values (1), (2)")
    process_once(settings, [things])
    before = read_watermarks(settings)["things"]
    load(settings, things)
    execute("delete from things where id = 1")
    found(settings, things, repair=True)
    ((window),) = FolderStage(settings.stage_dir).windows(things.stage)
    with open_pipeline(settings, [things]):
        pass
    assert read_watermarks(settings)["things"].value == before.value
    assert [each.id for each in FolderStage(settings.stage_dir).windows(things.stage)] == [window.id]


def test_a_starting_processor_keeps_the_files_of_a_running_repair(
    settings: Settings, things: Stream, tmp_path: Path
) -> None:
    stage = FolderStage(settings.stage_dir)
    file = tmp_path / "part-00000.parquet"
    file.write_bytes(b"unfinished")
    with repairing(settings, things):
        stage.put(things.stage, "20260101T000000000000Z-repair", file)
        with open_pipeline(settings, [things]):
            assert len(stage.entries(things.stage)) == 1
        with pytest.raises(AlreadyRunning, match="Another repair of the stream things"), repairing(settings, things):
            pass
    with open_pipeline(settings, [things]):
        assert stage.entries(things.stage) == []


def test_the_exit_code_is_1_until_the_repair(
    settings: Settings, things: Stream, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute("insert into things (id) values (1), (2)")
    process_once(settings, [things])
    load(settings, things)
    execute("delete from things where id = 1")
    monkeypatch.setattr(compare, "pipeline_of", lambda _context: (settings, (things,)))
    results = []
    for arguments in (["reconcile"], ["reconcile", "--repair", "things"], ["reconcile", "--from", "2100-01-01"]):
        results.append(CliRunner().invoke(cli.app, arguments))
    assert [type(result.exception).__name__ for result in results] == ["CheckFailed", "NoneType", "NoneType"]
    assert "things: 1 deleted (in the warehouse, deleted at the source)" in results[0].output
    assert "1: at the source none, in the warehouse 20" in results[0].output
    assert "staged 0 rows and 1 deletions" in results[1].output


def test_temporary_files_are_removed(settings: Settings, things: Stream, execute: Execute) -> None:
    execute("insert into things (id) values (1)")
    process_once(settings, [things])
    running.reconcile(settings, [things], repair=True)
    assert list((settings.unfinished_dir).glob("reconcile-*")) == []
