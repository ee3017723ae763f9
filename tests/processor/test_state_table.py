"""The table of watermarks is created from an earlier version's table; tables of others are not changed."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from adventure.core.connect import translating_postgres
from adventure.core.errors import SourceError, SourceUnavailable
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import read_watermarks
from tests.processor.conftest import writer

Connection = psycopg.Connection[tuple[Any, ...]]

OLD = """
create table processor_metadata (
    stream text primary key, watermark timestamp not null, window_id text not null, run_id text not null,
    horizon timestamp not null, mode text not null,
    updated_at timestamp not null default (now() at time zone 'utc'){position}
)
"""


@pytest.fixture
def state(settings: Settings) -> Iterator[Connection]:
    with psycopg.connect(settings.state_conninfo, autocommit=True) as connection:
        yield connection


def insert(settings: Settings, *ids: int) -> None:
    with writer(settings) as connection:
        for each in ids:
            connection.execute("insert into things (id) values (%s)", [each])


def as_an_earlier_version_left_it(state: Connection, *, position: bool) -> None:
    """Move the watermarks to the earlier version's table, and drop the current one."""
    state.execute(OLD.format(position=", position text" if position else ""))  # type: ignore[arg-type]
    state.execute(
        "insert into processor_metadata (stream, watermark, window_id, run_id, horizon, mode)"
        " select stream, watermark, window_id, run_id, horizon, mode from adventure_watermarks"
    )
    state.execute("drop table adventure_watermarks")


@pytest.mark.parametrize("position", [True, False], ids=["with a position", "without a position"])
def test_watermarks_of_an_earlier_version_are_copied(
    settings: Settings, writer_settings: Settings, things: Stream, state: Connection, staged: Any, position: bool
) -> None:
    insert(writer_settings, 1)
    process_once(settings, [things])
    before = read_watermarks(settings)["things"].value
    as_an_earlier_version_left_it(state, position=position)
    assert read_watermarks(settings)["things"].value == before, "a command that only reads finds them too"
    assert process_once(settings, [things]).streams[0].window is None
    insert(writer_settings, 2)
    process_once(settings, [things])
    assert [row["id"] for row in staged(things)] == [1, 2], "row 1 is not read again"


def test_watermarks_of_an_earlier_version_are_copied_once(
    settings: Settings, writer_settings: Settings, things: Stream, state: Connection
) -> None:
    insert(writer_settings, 1)
    process_once(settings, [things])
    as_an_earlier_version_left_it(state, position=True)
    process_once(settings, [things])
    state.execute("delete from adventure_watermarks")
    with open_pipeline(settings, [things]) as pipeline:
        adopted = pipeline.state.watermarks["things"]
    assert adopted.window_id == next(iter(pipeline.stage.windows(things.stage))).id, "adopted from the stage"
    assert state.execute("select count(*) from processor_metadata").fetchone() == (1,), "the old table stays"


def test_a_table_of_the_old_name_that_others_use_is_not_changed(
    settings: Settings, writer_settings: Settings, things: Stream, state: Connection
) -> None:
    state.execute("create table processor_metadata (id int primary key, last_export timestamptz)")
    state.execute("insert into processor_metadata values (1, '2020-01-01')")
    before = state.execute("select attname, atttypid from pg_attribute where attrelid = 'processor_metadata'::regclass")
    columns = before.fetchall()
    assert read_watermarks(settings) == {}
    insert(writer_settings, 1)
    process_once(settings, [things])
    assert read_watermarks(settings)["things"].mode == "horizon"
    after = state.execute("select attname, atttypid from pg_attribute where attrelid = 'processor_metadata'::regclass")
    assert after.fetchall() == columns
    assert state.execute("select id, last_export is not null from processor_metadata").fetchall() == [(1, True)]


@pytest.mark.parametrize(
    "foreign",
    [
        "create table adventure_watermarks (id int primary key, last_export timestamptz)",
        "create table adventure_watermarks (stream text, watermark text, window_id text, run_id text, horizon text,"
        " mode text, updated_at text)",
        "create view adventure_watermarks as select 1 as id",
    ],
    ids=["other columns", "other types", "a view"],
)
def test_a_table_of_our_name_that_is_not_ours_is_refused_and_not_changed(
    settings: Settings, things: Stream, state: Connection, foreign: str
) -> None:
    state.execute(foreign)  # type: ignore[arg-type]
    columns = "select attname, atttypid from pg_attribute where attrelid = 'adventure_watermarks'::regclass"
    before = state.execute(columns).fetchall()
    for look in (lambda: process_once(settings, [things]), lambda: read_watermarks(settings)):
        with pytest.raises(SourceError, match=r"adventure_watermarks.*not Adventure's.*STATE_DSN"):
            look()
    assert state.execute(columns).fetchall() == before


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("select nothing_like_it", 'column "nothing_like_it" does not exist'),
        ("select 1 +* 'a\nb'", "operator does not exist: integer +* unknown"),
        (
            "do $$ begin raise exception 'the sentence' using detail = 'a detail', hint = 'a hint'; end $$",
            "the sentence (a detail; a hint)",
        ),
    ],
    ids=["a caret below the line", "a statement of two lines", "detail and hint"],
)
def test_an_error_quotes_the_server(settings: Settings, state: Connection, statement: str, said: str) -> None:
    with pytest.raises(SourceError) as error, translating_postgres(settings.state_conninfo, "the state database"):
        state.execute(statement)  # type: ignore[arg-type]
    assert said in error.value.problem
    assert "^" not in error.value.problem


def test_a_standby_that_does_not_answer_yet_is_recognised_by_its_error() -> None:
    text = (
        'connection failed: connection to server at "127.0.0.1", port 5432 failed: FATAL:  the database system is not'
        " yet accepting connections\nDETAIL:  Consistent recovery state has not been yet reached."
    )
    with pytest.raises(SourceUnavailable) as error, translating_postgres("host=db", "the source database"):
        raise psycopg.OperationalError(text)
    assert error.value.problem.endswith(
        "the database system is not yet accepting connections (Consistent recovery state has not been yet reached)"
    )
