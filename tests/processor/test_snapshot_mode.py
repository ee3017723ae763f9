"""Test tables that are read whole: by key and row hash, and without a key."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, LiteralString

import psycopg
import pytest

from adventure.core import faults
from adventure.core.errors import AdventureError, SourceShapeError
from adventure.core.settings import Settings
from adventure.core.streams import READ_AT, ROW_NUMBER, Stream
from adventure.factory import open_warehouse
from adventure.monitoring.checks.flow import count_rows, flow_checks
from adventure.processor.reset import reset_stream
from adventure.processor.run import process_once
from adventure.processor.state import read_watermarks
from adventure.reconcile.run import reconcile
from tests.processor.conftest import Rows, stream_of, writer

CREATE = "create table films (id integer, lang text, title text, rate numeric(4,2), primary key (id, lang))"
FILMS = "insert into films select n, 'en', 'Film ' || n, n / 7.0 from generate_series(1, 20) as n"


@pytest.fixture
def films(writer_settings: Settings) -> Stream:
    """Twenty films, in a table without a cursor."""
    with writer(writer_settings) as connection:
        connection.execute(CREATE)
        connection.execute(FILMS)
    return snapshot_of("films", ("id", "lang"))


def snapshot_of(table: str, key: tuple[str, ...] = (ROW_NUMBER,)) -> Stream:
    return stream_of(
        table,
        name=table,
        mode="snapshot",
        cursor=READ_AT,
        key=key,
        stage=f"{table}_stage",
        raw_table=f"raw_ext.{table}_raw",
    )


def change(settings: Settings, *statements: LiteralString) -> None:
    with writer(settings) as connection:
        for statement in statements:
            connection.execute(statement)


def check_films(settings: Settings, writer_settings: Settings, stream: Stream) -> None:
    """Load what is staged, and compare the latest version of each key with the source, row for row."""
    warehouse = open_warehouse(settings)
    warehouse.load(stream)
    names = "id, lang, title, rate"
    held = warehouse.execute(
        f"select {names} from (select * from {stream.raw_table} qualify row_number() over (partition by"
        f" {', '.join(stream.key)} order by coalesce(_deleted_at, {READ_AT}) desc, _loaded_at desc) = 1)"
        " where _deleted_at is null order by all"
    )
    with psycopg.connect(writer_settings.postgres_dsn) as connection:
        there = connection.execute(f"select {names} from {stream.table} order by 1, 2, 3, 4").fetchall()  # type: ignore[arg-type]
    assert held == there
    counts = count_rows(settings, warehouse, stream)
    assert (counts.source, counts.raw) == (len(there), len(there))


@pytest.mark.parametrize(
    "statement", ["insert into films values (21, 'en', 'New', 1)", "delete from films where id > 15"]
)
def test_a_change_since_the_last_read_fails_no_check(
    settings: Settings, writer_settings: Settings, films: Stream, statement: LiteralString
) -> None:
    def verdict() -> bool | None:
        keys, files = flow_checks(settings, open_warehouse(settings), films)
        assert files.holds
        return keys.holds

    def read() -> None:
        process_once(settings, [films])

    read()
    open_warehouse(settings).load(films)
    open_warehouse(settings).cleanup(films)
    assert verdict() is True
    change(writer_settings, statement)
    assert verdict() is None, "the table has changed, and what is equal is not known"
    read()
    assert verdict() is None, "the change waits to be loaded"
    open_warehouse(settings).load(films)
    assert verdict() is True


CHANGES: list[tuple[LiteralString, int, int]] = [
    ("select", 0, 0),
    ("insert into films values (21, 'en', null, null)", 1, 0),
    ("update films set title = 'New' where id <= 2", 2, 0),
    ("update films set title = title", 0, 0),
    ("delete from films where id > 17", 0, 3),
    ("delete from films where id = 5; insert into films select 5, 'en', 'Film 5', 5 / 7.0", 0, 0),
    ("update films set id = 100 where id = 1", 1, 1),
    ("truncate films", 0, 20),
    ("alter table films add column year integer default 1999", 20, 0),
    ("update films set rate = null where id = 3; update films set title = null where id = 4", 2, 0),
]


@pytest.mark.parametrize(("statement", "changed", "deleted"), CHANGES)
def test_only_what_changed_is_staged(
    settings: Settings, writer_settings: Settings, films: Stream, statement: LiteralString, changed: int, deleted: int
) -> None:
    process_once(settings, (films,))
    check_films(settings, writer_settings, films)
    change(writer_settings, statement)
    report = process_once(settings, (films,))
    window = report.streams[0].window
    rows, deletes = (window.rows, window.deletes.rows if window.deletes else 0) if window else (0, 0)
    assert (rows, deletes) == (changed, deleted)
    check_films(settings, writer_settings, films)
    assert process_once(settings, (films,)).streams[0].window is None


def test_a_deleted_row_comes_back(settings: Settings, writer_settings: Settings, films: Stream) -> None:
    for statement in ("select", "delete from films where id = 5", "insert into films values (5, 'en', 'Film 5', 0.71)"):
        change(writer_settings, statement)  # type: ignore[arg-type]
        process_once(settings, (films,))
        check_films(settings, writer_settings, films)


@pytest.mark.parametrize("point", ["files_finished", "file_staged", "window_staged", "watermark_moved"])
def test_a_kill_at_any_point_loses_nothing(
    settings: Settings, writer_settings: Settings, films: Stream, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row is deleted, the processor is killed, and the row comes back as it was."""
    process_once(settings, (films,))
    change(writer_settings, "delete from films where id = 5", "update films set title = 'x' where id = 6")

    class Killed(BaseException):
        pass

    def kill(reached: faults.Point, *_: object) -> None:
        if reached.name.lower() == point:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("adventure.processor.cycle.reached", kill)
        with pytest.raises(Killed):
            process_once(settings, (films,))
    change(
        writer_settings,
        "insert into films values (5, 'en', 'Film 5', 0.71)",
        "update films set title = 'Film 6' where id = 6",
    )
    process_once(settings, (films,))
    check_films(settings, writer_settings, films)
    process_once(settings, (films,))
    check_films(settings, writer_settings, films)


def test_an_open_transaction_hides_no_row_that_commits_later(
    settings: Settings, writer_settings: Settings, films: Stream
) -> None:
    """A reset while the horizon is held back keeps the order of the versions, too."""
    with psycopg.connect(writer_settings.postgres_dsn) as late:
        late.execute("insert into films values (30, 'en', 'Late', 1)")
        process_once(settings, (films,))
        change(writer_settings, "update films set title = 'x' where id = 1", "delete from films where id = 2")
        reset_stream(settings, films, None)
        process_once(settings, (films,))
        check_films(settings, writer_settings, films)
        late.commit()
    process_once(settings, (films,))
    check_films(settings, writer_settings, films)


def test_a_reset_stages_all_rows_and_keeps_deletions(
    settings: Settings, writer_settings: Settings, films: Stream
) -> None:
    process_once(settings, (films,))
    check_films(settings, writer_settings, films)
    change(writer_settings, "delete from films where id = 5")
    reset_stream(settings, films, None)
    report = process_once(settings, (films,))
    window = report.streams[0].window
    assert window
    assert window.deletes
    assert (window.rows, window.deletes.rows) == (19, 1)
    check_films(settings, writer_settings, films)


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (
            "alter table films drop constraint films_pkey; insert into films values (1, 'en')",
            r'has the key \["1", "en"\]',
        ),
        (
            "alter table films drop constraint films_pkey; alter table films alter id drop not null;"
            " insert into films values (null, 'en')",
            "1 rows of public.films have NULL in their key",
        ),
        ("alter table films alter id type real", "its key id is of type float4"),
    ],
)
def test_a_key_that_does_not_identify_rows_is_refused(
    settings: Settings, writer_settings: Settings, films: Stream, statement: LiteralString, sentence: str
) -> None:
    change(writer_settings, statement)
    with pytest.raises(SourceShapeError, match=sentence):
        process_once(settings, (films,))


def test_a_table_is_read_once_in_its_interval(
    settings: Settings, writer_settings: Settings, films: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adventure.processor.cycle import run_cycle
    from adventure.processor.run import open_pipeline

    stream, now = replace(films, interval=timedelta(seconds=60)), [1000.0]
    monkeypatch.setattr("adventure.sources.postgres.memory.time.monotonic", lambda: now[0])
    with open_pipeline(settings, (stream,)) as pipeline:
        staged = []
        for passed in (0, 30, 31):
            now[0] += passed
            change(writer_settings, "update films set title = title || '!' where id = 1")
            staged += [report.rows_staged for report in run_cycle(pipeline).streams]
    assert staged == [20, 0, 1]


def test_reconcile_compares_whole_rows(settings: Settings, writer_settings: Settings, films: Stream) -> None:
    process_once(settings, (films,))
    check_films(settings, writer_settings, films)
    (report,) = reconcile(settings, [films])
    assert report.result
    assert (report.result.rows, report.result.verdicts) == (20, {})
    change(writer_settings, "update films set title = 'x' where id = 1", "delete from films where id = 2")
    (report,) = reconcile(settings, [films], repair=True)
    assert report.result
    assert {name: each.rows for name, each in report.result.verdicts.items()} == {"changed": 1, "deleted": 1}
    check_films(settings, writer_settings, films)


def test_a_table_without_a_key_is_replaced(settings: Settings, writer_settings: Settings) -> None:
    stream = snapshot_of("films")
    statements: list[LiteralString] = [
        "create table films (id integer, lang text, title text, rate numeric(4,2))",
        f"{FILMS}; {FILMS}",
        "delete from films where id < 3",
        "update films set title = 'x' where ctid = (select min(ctid) from films)",
        "truncate films",
        FILMS,
    ]
    windows = []
    for statement in statements:
        change(writer_settings, statement)
        windows.append(process_once(settings, (stream,)).streams[0].window)
        if windows[-1] or len(windows) > 1:
            check_films(settings, writer_settings, stream)
        assert process_once(settings, (stream,)).streams[0].window is None
    assert [window.rows for window in windows if window] == [0, 40, 36, 36, 0, 20]


def test_the_newest_window_stays_when_an_older_one_is_loaded_later(
    settings: Settings, writer_settings: Settings, staged: Callable[[Stream], Rows]
) -> None:
    from adventure.destinations.duckdb import load

    stream = snapshot_of("films")
    change(writer_settings, "create table films (id integer, lang text, title text, rate numeric(4,2))", FILMS)
    process_once(settings, (stream,))
    change(writer_settings, "delete from films where id > 10")
    process_once(settings, (stream,))
    original: Any = load.load_batch

    def newest_only(connection: Any, of: Stream, stage: Any, windows: Any) -> Any:
        if windows[0].rows == 20:
            raise AdventureError("the older window is damaged", "")
        return original(connection, of, stage, windows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "load_batch", newest_only)
        with pytest.raises(AdventureError):
            open_warehouse(settings).load(stream)
    check_films(settings, writer_settings, stream)
    assert read_watermarks(settings)["films"].mode == "snapshot, replaces all rows"
