"""Tables that are read by the log or whole: Snowflake's emulator has the rows of DuckDB and of the source."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import READ_AT, ROW_NUMBER, Stream
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.snowflake import account_tasks
from adventure.destinations.snowflake.scripts import layout
from adventure.destinations.snowflake.stage import SnowflakeStage
from adventure.factory import open_warehouse
from adventure.processor.run import process_once
from adventure.processor.state import read_watermarks
from tests.processor.conftest import log_settings, stream_of  # noqa: F401 - the fixture
from tests.processor.test_log import change
from tests.snowflake import account
from tests.snowflake.emulator import sent
from tests.snowflake.procedure import Session, load_procedure, run
from tests.snowflake.typed.relations import Relations
from tests.snowflake.typed.sent import check_sent

pytestmark = pytest.mark.slow

COLUMNS = "id, lang, code, title, rate"
CREATE = "create table films (id integer, lang text, code char(3), title text, rate numeric(4,2), note text"
FILMS = "insert into films select n, 'en', 'c' || n % 4, 'Film ' || n, n / 7.0 from generate_series(1, 20) as n"
KEYS = {"log": ("id", "lang"), "snapshot": ("id", "lang"), "snapshot without a key": (ROW_NUMBER,)}
CHANGES: list[LiteralString] = [
    "insert into films values (21, 'en', null, null, null)",
    "update films set title = 'New' where id <= 2",
    "delete from films where id > 17",
    "delete from films where id = 5; insert into films select 5, 'en', 'x', 'Film 5', 0.5",
    "update films set id = 100 where id = 1",
    "alter table films drop column note; delete from films where id in (3, 100)",
    "truncate films; insert into films values (3, 'en', 'x', 'Again', 1), (200, 'it''s \\', 'x', 'New', 1)",
    "truncate films",
    FILMS,
]


@pytest.fixture(params=KEYS)
def films(request: pytest.FixtureRequest, writer_settings: Settings) -> Stream:
    """Twenty films in a table without a cursor, read in each of the modes."""
    key = KEYS[request.param]
    change(writer_settings, f"{CREATE}, primary key (id, lang))" if "id" in key else f"{CREATE})", FILMS)  # type: ignore[arg-type]
    mode = request.param.partition(" ")[0]
    if mode == "log":
        change(writer_settings, "create publication adventure for table films")
    return stream_of(
        "films", name="films", mode=mode, cursor=READ_AT, key=key, stage="films_stage", raw_table="raw_ext.films_raw"
    )


def arguments(stream: Stream) -> tuple[Any, ...]:
    return stream.name, layout(stream), stream.stage, stream.raw_table, list(stream.key), stream.cursor


def put_waiting(ours: Settings, theirs: Settings, stream: Stream) -> None:
    """Put what waits in the folder's stage into Snowflake's stage as well."""
    folder, stage = FolderStage(ours.stage_dir), SnowflakeStage(theirs)
    for window in folder.windows(stream.stage):
        for file in window.all_files:
            stage.put(stream.stage, window.id, folder.path(window, file.name))
        stage.commit(window)
    stage.announce(stream.stage)


def check(ours: Settings, session: Session, stream: Stream, source: Settings) -> None:
    """Compare the raw tables of both warehouses, all versions, and Snowflake's latest rows with the source."""
    added = "_read_at, _deleted_at, split_part(_file, '/', 2), split_part(_file, '/', 3)"
    versions = f"select {COLUMNS}, {added} from {stream.raw_table}"
    held = session.sql(versions).collect()
    assert sorted(held, key=str) == sorted(open_warehouse(ours).execute(versions), key=str)
    latest = session.sql(f"select {COLUMNS} from {stream.latest_view}").collect()
    with psycopg.connect(source.postgres_dsn) as connection:
        there = connection.execute(f"select {COLUMNS} from films".encode()).fetchall()
    assert sorted(latest, key=str) == sorted(there, key=str)


def test_each_change_arrives_as_in_duckdb_and_as_at_the_source(
    log_settings: Settings,  # noqa: F811 - the fixture
    writer_settings: Settings,
    on_snowflake: Settings,
    session: Session,
    films: Stream,
) -> None:
    account.create_tables(on_snowflake, films)
    embedded = open_warehouse(log_settings)
    for statement in ("select", *CHANGES):
        change(writer_settings, statement)
        process_once(log_settings, [films])
        put_waiting(log_settings, on_snowflake, films)
        run(session, "load", *arguments(films))
        embedded.load(films)
        check(log_settings, session, films, writer_settings)
        run(session, "cleanup", *arguments(films))
        embedded.cleanup(films)
        assert SnowflakeStage(on_snowflake).entries(films.stage) == []
    ledger = "select window_id, file, kind, mode from raw_ext.load_history order by all"
    assert session.sql(ledger.replace("all", "1, 2")).collect() == embedded.execute(ledger)
    checked = check_sent(sent[on_snowflake.snowflake_database.upper()], Relations())
    assert checked.faults == []
    # A snapshot with a key stages its deletions itself.
    marking = "delete from" if films.is_replaced else 'insert into "RAW_EXT"."FILMS_RAW" ("ID", "LANG", "_READ_AT"'
    typed = any(name.startswith(marking) for name in checked.typed)
    assert typed != (films.is_snapshot and not films.is_replaced), "what marks the missing rows was typed"


def test_a_backlog_is_loaded_in_the_order_of_its_windows(
    log_settings: Settings,  # noqa: F811 - the fixture
    writer_settings: Settings,
    on_snowflake: Settings,
    session: Session,
    films: Stream,
) -> None:
    account.create_tables(on_snowflake, films)
    process_once(log_settings, [films])
    for statement in CHANGES:
        change(writer_settings, statement)
        process_once(log_settings, [films])
    put_waiting(log_settings, on_snowflake, films)
    run(session, "load", *arguments(films))
    open_warehouse(log_settings).load(films)
    check(log_settings, session, films, writer_settings)


@pytest.mark.parametrize("films", ["snapshot without a key"], indirect=True)
def test_the_newest_window_stays_when_an_older_one_is_loaded_later(
    settings: Settings,
    writer_settings: Settings,
    on_snowflake: Settings,
    session: Session,
    films: Stream,
) -> None:
    account.create_tables(on_snowflake, films)
    process_once(settings, [films])
    change(writer_settings, "delete from films where id > 10")
    process_once(settings, [films])
    put_waiting(settings, on_snowflake, films)
    procedure = load_procedure()
    waiting: Callable[..., Any] = procedure["waiting_windows"]
    procedure["waiting_windows"] = lambda *values: waiting(*values)[-1:]
    procedure["run"](session, "load", *arguments(films))
    run(session, "load", *arguments(films))
    open_warehouse(settings).load(films)
    check(settings, session, films, writer_settings)


KEYS_OF_REJECTS: list[tuple[LiteralString, LiteralString, LiteralString]] = [
    ("integer", "7", "8"),
    ("char(6)", "'a'", "'b'"),
    ("numeric(9,2)", "1.5", "2.5"),
    ("timestamp", "'2026-01-02 03:04:05.5'", "'2026-01-02 03:04:05'"),
    ("date", "'2026-02-28'", "'2026-02-27'"),
    ("uuid", "'10000000-0000-4000-8000-00000000000a'", "'20000000-0000-4000-8000-00000000000a'"),
]


@pytest.mark.parametrize(("kind", "kept", "gone"), KEYS_OF_REJECTS, ids=[kind for kind, *_ in KEYS_OF_REJECTS])
def test_a_row_that_the_window_rejects_is_not_marked_as_deleted(
    log_settings: Settings,  # noqa: F811 - the fixture
    writer_settings: Settings,
    on_snowflake: Settings,
    session: Session,
    kind: LiteralString,
    kept: LiteralString,
    gone: LiteralString,
) -> None:
    stream = stream_of("things", mode="log", cursor=READ_AT, key=("id",), types={"amount": "decimal(38,9)"})
    change(
        writer_settings,
        f"create table things (id {kind} primary key, amount numeric)",
        f"insert into things values ({kept}, 1), ({gone}, 2)",
        "create publication adventure for table things",
    )
    account.create_tables(on_snowflake, stream)
    for statement in ("select", f"truncate things; insert into things values ({kept}, 'nan')"):
        change(writer_settings, statement)  # type: ignore[arg-type]
        assert not process_once(log_settings, [stream]).failures
    put_waiting(log_settings, on_snowflake, stream)
    run(session, "load", *arguments(stream))
    open_warehouse(log_settings).load(stream)
    versions = f"select amount, _deleted_at is null from {stream.raw_table} order by 1 nulls last"
    for held in (session.sql(versions).collect(), open_warehouse(log_settings).execute(versions)):
        assert held == [(1, True), (2, True), (None, False)], "only the key that is gone has a tombstone"


PIPELINE = """
[streams.films]
source = "postgres"
namespace = "public"
table = "films"
key = ["id", "lang"]
stage = "films_stage"
raw_table = "raw_ext.films_raw"
"""


@pytest.mark.parametrize("films", ["log"], indirect=True)
def test_the_accounts_tasks_load_what_the_log_names(
    log_settings: Settings,  # noqa: F811 - the fixture
    writer_settings: Settings,
    on_snowflake: Settings,
    films: Stream,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mode is chosen by itself, as for DuckDB; and a lost slot marks what was deleted meanwhile."""
    monkeypatch.setattr(account_tasks, "POLL_SEC", account.POLL_SEC)
    (tmp_path / "films.toml").write_text(PIPELINE, encoding="utf-8")
    user = {name: getattr(log_settings, name) for name in ("postgres_user", "postgres_password")}
    on_snowflake = on_snowflake.model_copy(update={**user, "pipeline_file": tmp_path / "films.toml"})
    account.begin(on_snowflake)
    account.create_tables(on_snowflake, films)
    (stream,) = load_streams(on_snowflake)
    assert replace(stream, mode="log") == films
    warehouse = open_warehouse(on_snowflake)
    drop: LiteralString = (
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()"
    )
    for statement in ("select", "delete from films where id < 4", "delete from films where id < 6"):
        change(writer_settings, statement)
        if "6" in statement:
            with psycopg.connect(log_settings.postgres_dsn, autocommit=True) as connection:
                connection.execute(drop)
        assert not process_once(on_snowflake, [stream]).failures
        warehouse.load(stream)
        held = warehouse.execute(f"select {COLUMNS} from {stream.latest_view} order by id, lang")
        with psycopg.connect(writer_settings.postgres_dsn) as connection:
            assert held == connection.execute(f"select {COLUMNS} from films order by id, lang".encode()).fetchall()
        assert read_watermarks(on_snowflake)["films"].mode.startswith("log")
