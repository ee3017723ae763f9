"""Windows and watermarks: no row that commits late is lost, and interrupted work is completed later."""

import errno
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adventure.core import connect
from adventure.core.errors import AlreadyRunning, SourceRefused, SourceShapeError, StageUnwritable
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.demo.generator.run import backfill, generate
from adventure.demo.sandbox import Sandbox
from adventure.destinations.duckdb.stage import FolderStage
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_forever, process_once
from adventure.processor.state import State, read_watermarks
from tests.processor.conftest import Rows, stream_of, superuser, writer

Staged = Callable[[Stream], Rows]


def ids(rows: Rows) -> list[int]:
    return sorted(row["id"] for row in rows)


def insert(settings: Settings, *numbers: int) -> None:
    with writer(settings) as connection:
        for number in numbers:
            connection.execute("insert into things (id) values (%s)", [number])


def test_the_sales_are_staged_row_for_row(
    settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...], staged: Staged
) -> None:
    backfill(writer_settings, orders=300, days=20, seed=1)
    generate(writer_settings, seed=2, batches=1)
    process_once(settings, streams)
    for stream in streams[:2]:
        with psycopg.connect(settings.postgres_dsn, row_factory=psycopg.rows.dict_row) as connection:
            source = connection.execute(f"select * from {stream.table} order by 1").fetchall()  # type: ignore[arg-type]
        expected = [
            {k: str(v) if k.endswith("_id") and len(str(v)) == 36 else v for k, v in row.items()} for row in source
        ]
        assert sorted(staged(stream), key=lambda row: str(row[stream.key[0]])) == expected


def test_a_row_that_commits_late_is_not_lost(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    with psycopg.connect(writer_settings.postgres_dsn) as late:
        late.execute("insert into things (id) values (1)")
        insert(writer_settings, 2)
        process_once(settings, [things])
        assert ids(staged(things)) == [], "row 2 waits for the transaction that began before it"
        late.commit()
    process_once(settings, [things])
    assert ids(staged(things)) == [1, 2]


def test_an_update_is_staged_as_a_new_version(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    insert(writer_settings, 1, 2)
    process_once(settings, [things])
    with writer(writer_settings) as connection:
        connection.execute("update things set note = 'new', changed_at = now() at time zone 'utc' where id = 1")
    process_once(settings, [things])
    assert [(row["id"], row["note"]) for row in staged(things)] == [(1, None), (2, None), (1, "new")]


def test_the_watermark_comes_from_the_data(settings: Settings, writer_settings: Settings, things: Stream) -> None:
    with writer(writer_settings) as connection:
        connection.execute("insert into things values (1, '2001-02-03 04:05:06.789012')")
    process_once(settings, [things])
    assert read_watermarks(settings)["things"].value == datetime(2001, 2, 3, 4, 5, 6, 789013)


def test_a_writer_whose_clock_is_ahead_only_delays_its_rows(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    ahead = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=1.5)
    with writer(writer_settings) as connection:
        connection.execute("insert into things values (1, %s)", [ahead])
    insert(writer_settings, 2)
    process_once(settings, [things])
    assert ids(staged(things)) == [2]
    time.sleep(max(0.0, (ahead - datetime.now(UTC).replace(tzinfo=None)).total_seconds()))
    process_once(settings, [things])
    assert ids(staged(things)) == [1, 2]


def test_an_idle_cycle_writes_nothing_anywhere(
    settings: Settings, writer_settings: Settings, things: Stream, streams: tuple[Stream, ...]
) -> None:
    generate(writer_settings, seed=7, batches=1)
    insert(writer_settings, 1)
    with open_pipeline(settings, [*streams, things]) as pipeline:
        time.sleep(0.2)
        assert all(report.window for report in run_cycle(pipeline).streams)
        files, rows = _files(settings), _rows(settings)
        for _ in range(2):
            report = run_cycle(pipeline)
            assert not report.failures
            assert [each.window for each in report.streams] == [None] * 4
        assert _files(settings) == files
        assert _rows(settings) == rows


def _files(settings: Settings) -> dict[Path, tuple[int, int]]:
    """Return every file and folder, with the attributes that change when it is written or replaced."""
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in settings.data_dir.rglob("*")}


def _rows(settings: Settings) -> list[tuple[Any, ...]]:
    """Return every row of the state database's tables, with the transaction that wrote it."""
    with psycopg.connect(settings.state_conninfo) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        assert tables == [("adventure_watermarks",)]
        return connection.execute("select *, xmin::text from adventure_watermarks order by stream").fetchall()


def test_without_the_privilege_the_lookback_is_used_and_stages_nothing_twice(
    sandbox: Sandbox,
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    staged: Staged,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with superuser(sandbox, settings) as connection:
        connection.execute("create role watcher login password 'w' in role adventure_reader_tables")
        connection.execute("grant usage on schema public to watcher")
        connection.execute("grant select on things to watcher")
    blind = settings.model_copy(update={"postgres_user": "watcher", "postgres_password": _secret("w")})
    with psycopg.connect(writer_settings.postgres_dsn) as late:
        late.execute("insert into things (id) values (1)")
        insert(writer_settings, 2)
        with open_pipeline(blind, [things]) as pipeline:
            time.sleep(0.2)
            run_cycle(pipeline)
            assert ids(staged(things)) == [2]
            late.commit()
            run_cycle(pipeline)
            run_cycle(pipeline)
    assert ids(staged(things)) == [1, 2], "the late row was found by reading again, and row 2 was not staged twice"
    assert read_watermarks(settings)["things"].mode == "lookback: the role lacks pg_read_all_stats"
    warnings = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    assert sum("the role lacks pg_read_all_stats" in line for line in warnings) == 1


@pytest.fixture(autouse=True, scope="module")
def _tables_role(sandbox: Sandbox) -> None:
    """A role without pg_read_all_stats."""
    with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
        connection.execute("create role adventure_reader_tables")


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)


def test_a_prepared_transaction_forces_the_lookback(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    with writer(writer_settings) as connection:
        connection.execute("begin")
        connection.execute("insert into things (id) values (1)")
        connection.execute("prepare transaction 'held'")
        insert(writer_settings, 2)
        process_once(settings, [things])
        assert read_watermarks(settings)["things"].mode == "lookback: a prepared transaction is open"
        connection.execute("commit prepared 'held'")
    process_once(settings, [replace(things, lookback=timedelta(seconds=60))])
    assert set(ids(staged(things))) == {1, 2}


def test_a_complete_window_whose_watermark_did_not_move_is_recovered(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    insert(writer_settings, 1)
    process_once(settings, [things])
    with psycopg.connect(settings.state_conninfo) as connection:
        connection.execute("delete from adventure_watermarks")
    insert(writer_settings, 2)
    process_once(settings, [things])
    assert ids(staged(things)) == [1, 2], "row 1 was not extracted again"
    windows = FolderStage(settings.stage_dir).windows(things.stage)
    assert windows[1].low == windows[0].high


def test_a_window_whose_files_were_discarded_is_read_again(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    insert(writer_settings, 1)
    process_once(settings, [things])
    stage = FolderStage(settings.stage_dir)
    (window,) = stage.windows(things.stage)
    stage.path(window, window.files[0].name).unlink()
    with psycopg.connect(settings.state_conninfo) as connection:
        connection.execute("delete from adventure_watermarks")
    process_once(settings, [things])
    _, again = stage.windows(things.stage)
    assert again.low is None
    assert again.rows == 1


def test_a_window_without_its_manifest_is_replaced(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    insert(writer_settings, 1)
    process_once(settings, [things])
    stage = FolderStage(settings.stage_dir)
    (window,) = stage.windows(things.stage)
    stage.path(window, "window.json").unlink()
    with psycopg.connect(settings.state_conninfo) as connection:
        connection.execute("delete from adventure_watermarks")
    process_once(settings, [things])
    assert ids(staged(things)) == [1]
    assert len({entry.path.split("/")[1] for entry in stage.entries(things.stage)}) == 1


def test_a_second_processor_is_refused(settings: Settings, things: Stream) -> None:
    with open_pipeline(settings, [things]), pytest.raises(AlreadyRunning, match="works on the stream things"):
        process_once(settings, [things])
    process_once(settings, [things])


def test_processors_that_start_at_once_share_the_table_of_watermarks(settings: Settings) -> None:
    start = threading.Barrier(8)

    def open_state(number: int) -> dict[str, Watermark]:
        start.wait()
        with State(settings, [stream_of("things", name=f"things_{number}")]) as state:
            return state.watermarks

    with ThreadPoolExecutor(8) as processors:
        assert list(processors.map(open_state, range(8))) == [{}] * 8


def test_a_processor_that_lost_its_lock_moves_no_watermark(
    sandbox: Sandbox, settings: Settings, writer_settings: Settings, things: Stream
) -> None:
    insert(writer_settings, 1)
    with open_pipeline(settings, [things]) as pipeline:
        with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
                [f"{settings.postgres_db}_state"],
            )
        time.sleep(0.2)
        assert run_cycle(pipeline).failures
    assert "things" not in read_watermarks(settings)
    process_once(settings, [things])
    assert read_watermarks(settings)["things"].mode == "horizon"


def test_a_full_disk_leaves_no_partial_window_and_keeps_the_watermark(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(writer_settings, 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("adventure.destinations.duckdb.stage._move_into_place", full)
        with pytest.raises(StageUnwritable, match=r"No space left on device\. Free space"):
            process_once(settings, [things])
        assert read_watermarks(settings) == {}
    assert staged(things) == []
    process_once(settings, [things])
    assert ids(staged(things)) == [1]


def test_a_stage_that_cannot_be_written_is_named_before_anything_is_read(settings: Settings, things: Stream) -> None:
    settings.data_dir.mkdir(parents=True)
    settings.stage_dir.write_text("a file where the folder should be")
    with pytest.raises(StageUnwritable, match="stages"):
        process_once(settings, [things])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"table": "absent"}, r"stream things: there is no table public\.absent in database"),
        (
            {"cursor": "when"},
            r"public\.things has no column when, which is its cursor\. Its columns are id, changed_at",
        ),
        ({"key": ("id", "line")}, r"has no column line, which is its key"),
        ({"cursor": "note"}, r"its cursor note is of type text"),
    ],
)
def test_a_table_that_does_not_match_its_stream(
    settings: Settings, things: Stream, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SourceShapeError, match=sentence):
        process_once(settings, [replace(things, **changes)])


def test_one_stream_that_fails_does_not_stop_the_others(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    insert(writer_settings, 1)
    absent = stream_of("absent", name="absent", stage="absent_stage", raw_table="raw_ext.absent")
    with pytest.raises(SourceShapeError):
        process_once(settings, [absent, things])
    assert ids(staged(things)) == [1]


def test_a_cursor_without_an_index_is_logged(
    settings: Settings, writer_settings: Settings, things: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    with writer(writer_settings) as connection:
        connection.execute("drop index things_changed_at_idx")
    process_once(settings, [things])
    assert "has no index on changed_at" in capsys.readouterr().out


def test_a_wrong_password_is_refused_at_once(settings: Settings, things: Stream) -> None:
    with pytest.raises(SourceRefused, match="password authentication failed") as caught:
        process_once(settings.model_copy(update={"postgres_password": _secret("hunter2")}), [things])
    assert "hunter2" not in str(caught.value)


def test_hostile_names_are_quoted(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    table, column = 'we"ird; drop table things; --', 'a"b %s {x}'
    with writer(writer_settings) as connection:
        quoted = [psycopg.sql.Identifier(name) for name in (table, column, "When")]
        connection.execute(
            psycopg.sql.SQL("create table {} (id int primary key, {} text, {} timestamptz)").format(*quoted)
        )
        connection.execute(
            psycopg.sql.SQL("insert into {} values (1, 'x', now())").format(psycopg.sql.Identifier(table))
        )
    process_once(settings, [stream_of(table, cursor="When")])
    assert [(row["id"], row[column]) for row in staged(things)] == [(1, "x")]
    process_once(settings, [replace(things, name="still_there", stage="other_stage")])


def test_eight_writers_and_long_transactions_lose_nothing(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    stop = threading.Event()

    def write(number: int) -> None:
        with psycopg.connect(writer_settings.postgres_dsn) as connection:
            for index in range(40):
                for offset in range(3):
                    connection.execute("insert into things (id) values (%s)", [number * 1000 + index * 3 + offset])
                time.sleep((0.001, 0.01, 0.3)[(number + index) % 3 if index % 10 == 0 else index % 2])
                connection.commit()

    writers = [threading.Thread(target=write, args=[number]) for number in range(8)]
    poller = threading.Thread(
        target=process_forever, args=[settings, [things]], kwargs={"interval": 0.02, "max_runtime": 0, "stop": stop}
    )
    for thread in (*writers, poller):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    poller.join()
    process_once(settings, [things])
    assert ids(staged(things)) == sorted(n * 1000 + i for n in range(8) for i in range(120))


def test_a_source_that_stops_answering_is_retried(
    sandbox: Sandbox,
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    staged: Staged,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connect, "RETRY_FOR_SEC", 1.0)
    insert(writer_settings, 1)
    stop = threading.Event()
    poller = threading.Thread(
        target=process_forever, args=[settings, [things]], kwargs={"interval": 0.1, "max_runtime": 120, "stop": stop}
    )
    poller.start()
    try:
        time.sleep(0.5)
        sandbox.postgres.kill()
        time.sleep(0.5)
        sandbox.postgres.start()
        insert(writer_settings, 2)
        deadline = time.monotonic() + 90
        while ids(staged(things)) != [1, 2] and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        stop.set()
        poller.join()
    assert ids(staged(things)) == [1, 2]


def test_max_runtime_ends_the_processor(settings: Settings, things: Stream) -> None:
    process_forever(settings, [things], interval=0.05, max_runtime=0.3, stop=threading.Event())


def test_leftovers_in_the_temporary_folder_do_no_harm(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    insert(writer_settings, 1)
    leftover: Path = settings.unfinished_dir / "things"
    leftover.mkdir(parents=True)
    (leftover / "part-00000.parquet").write_text("half a file")
    process_once(settings, [things])
    assert ids(staged(things)) == [1]
    shutil.rmtree(settings.unfinished_dir)
