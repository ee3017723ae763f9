"""The server begins the next stream's query while a stream's rows are written and staged, and nothing depends on it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from adventure.core.errors import AdventureError, SourceError, StageUnwritable, WatermarkMismatch
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb.stage import FolderStage
from adventure.processor.cycle import Pipeline, run_cycle
from adventure.processor.run import open_pipeline
from adventure.sources.postgres import decoder
from adventure.sources.postgres.early_query import EarlyQuery
from adventure.sources.postgres.plan import Plan
from adventure.sources.postgres.reader import Reader
from adventure.sources.postgres.snapshot import PostgresSnapshot
from adventure.sources.postgres.writer import RowWriter
from tests.processor.conftest import Rows, stream_of, writer
from tests.processor.test_copy_sessions import KINDS, MANY, opened, pid, rows
from tests.waiting import until

Shop = psycopg.Connection[tuple[Any, ...]]
Staged = Callable[[Stream], Rows]


def stream(name: str, **changes: Any) -> Stream:
    return stream_of(name, name=name, stage=f"{name}_stage", raw_table=f"raw_ext.{name}", **changes)


SALES, LINES, BUYERS = stream("sales"), stream("lines", references={"sales": ("sale",)}), stream("buyers")
STREAMS = (SALES, LINES, BUYERS)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Extract with each kind of session."""
    monkeypatch.setattr(decoder, "is_installed", lambda: request.param == "decoder")


@pytest.fixture
def shop(writer_settings: Settings, kind: None) -> Iterator[Shop]:
    """Create three tables with a row each; yield the connection of their writer."""
    with writer(writer_settings) as connection:
        for each in STREAMS:
            connection.execute(
                f"create table {each.table} (id int primary key, sale int,"  # type: ignore[arg-type]
                " changed_at timestamp not null default (clock_timestamp() at time zone 'utc'))"
            )
            connection.execute(f"create index on {each.table} (changed_at)")  # type: ignore[arg-type]
        sell(connection, 1)
        yield connection


def sell(shop: Shop, number: int) -> None:
    for each in STREAMS:
        shop.execute(f"insert into {each.table} values ({number}, {number})")  # type: ignore[arg-type]
    time.sleep(0.2)  # longer than the horizon's margin


def ids(staged: Staged) -> list[list[int]]:
    """Return the staged ids of sales, lines and buyers."""
    return [sorted(row["id"] for row in staged(each)) for each in STREAMS]


def failed(pipeline: Pipeline) -> list[str]:
    """Run a cycle and return the streams that failed."""
    return sorted(run_cycle(pipeline).failures)


def test_the_next_query_runs_before_the_files_are_finished(
    settings: Settings, shop: Shop, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def close(self: RowWriter) -> Any:
        until(lambda: following[self.plan.stream.name] in query())
        asked.append(self.plan.stream.name)
        return whole(self)

    def query() -> str:
        (found,) = other.execute("select query from pg_stat_activity where pid = %s", [number]).fetchone() or ("",)
        return str(found)

    whole, following = RowWriter.close, {"sales": '"lines"', "lines": '"buyers"', "buyers": '"buyers"'}
    with open_pipeline(settings, STREAMS) as pipeline, psycopg.connect(settings.postgres_dsn, autocommit=True) as other:
        assert failed(pipeline) == []
        sell(shop, 2)
        number = pipeline.sources["postgres"]._reader.copying_pid  # type: ignore[attr-defined]
        monkeypatch.setattr(RowWriter, "close", close)
        assert failed(pipeline) == []
    assert asked == ["sales", "lines", "buyers"]
    assert ids(staged) == [[1, 2]] * 3


@pytest.mark.parametrize("error", [SourceError, StageUnwritable])
def test_a_stream_that_fails_while_the_next_query_runs_stops_only_what_refers_to_it(
    settings: Settings, shop: Shop, staged: Staged, monkeypatch: pytest.MonkeyPatch, error: type[AdventureError]
) -> None:
    def check(self: PostgresSnapshot, stream: Stream) -> None:
        if stream.name == "sales":
            assert self.reader.early.runs()
            raise error("stream sales: something failed")

    with open_pipeline(settings, STREAMS) as pipeline:
        assert failed(pipeline) == []
        sell(shop, 2)
        with monkeypatch.context() as patched:
            patched.setattr(PostgresSnapshot, "_check_unchanged", check)
            assert failed(pipeline) == ["lines", "sales"]
        assert ids(staged) == [[1], [1], [1, 2]]
        assert failed(pipeline) == []
    assert ids(staged) == [[1, 2]] * 3


def test_the_query_of_a_stream_that_will_be_left_out_does_not_begin(
    settings: Settings, shop: Shop, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines refer to sales, which are refused."""
    begun: list[str] = []

    def begin(self: Reader, plan: Plan, query: str) -> None:
        begun.append(plan.stream.name)
        whole(self, plan, query)

    whole = Reader.begin
    with open_pipeline(settings, (SALES, BUYERS, LINES)) as pipeline:
        assert failed(pipeline) == []
        sell(shop, 2)
        monkeypatch.setattr(Reader, "begin", begin)
        refused = {"sales": WatermarkMismatch("sales: another table", "Reset it")}
        assert failed(replace(pipeline, refused=refused)) == ["lines", "sales"]
    assert set(begun) == {"buyers"}
    assert ids(staged) == [[1], [1], [1, 2]]


def test_no_line_is_staged_where_its_sale_cannot_be(
    settings: Settings, shop: Shop, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(self: FolderStage, stage: str, *arguments: Any) -> None:
        if stage == "sales_stage":
            raise StageUnwritable("The disk is full", "Free space")
        whole(self, stage, *arguments)

    whole = FolderStage.put
    with open_pipeline(settings, STREAMS) as pipeline:
        assert failed(pipeline) == []
        sell(shop, 2)
        with monkeypatch.context() as patched:
            patched.setattr(FolderStage, "put", put)
            assert failed(pipeline) == ["buyers", "lines", "sales"]
        assert ids(staged) == [[1]] * 3
        assert failed(pipeline) == []
    assert ids(staged) == [[1, 2]] * 3


def test_an_early_query_that_fails_stops_its_own_stream_only(settings: Settings, shop: Shop, staged: Staged) -> None:
    lines = replace(LINES, where="1 / (id - 2) is not null")
    with open_pipeline(settings, (SALES, lines, BUYERS)) as pipeline:
        assert failed(pipeline) == []
        sell(shop, 2)
        report = run_cycle(pipeline)
        assert list(report.failures) == ["lines"]
        assert "division by zero" in str(report.failures["lines"])
        assert ids(staged) == [[1, 2], [1], [1, 2]]
        shop.execute("delete from lines where id = 2")
        sell(shop, 3)
        assert failed(pipeline) == []
    assert ids(staged) == [[1, 2, 3], [1, 3], [1, 2, 3]]


@pytest.mark.parametrize("query", [MANY, "select pg_sleep(600)::text as i"])
def test_a_query_that_is_not_wanted_is_cancelled(settings: Settings, kind: None, query: str) -> None:
    session = opened(settings)
    number, early = pid(session), EarlyQuery(session)
    assert not early.cancel()
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as other:

        def activity() -> tuple[str, bool]:
            found = "select state, position(%s in query) > 0 from pg_stat_activity where pid = %s"
            return other.execute(found, [query, number]).fetchone() or ("", False)

        with session.transaction():
            session.execute("savepoint before")
            early.begin(query, {})
            assert early.runs(query)
            assert not early.runs("select 1")
            # A cancel that comes before its query ends the connection after a second.
            until(lambda: activity() == ("active", True))
            assert early.cancel()
            assert not early.runs()
            session.execute("rollback to savepoint before")
            assert rows(session, "select 1") == [(1,)]
        until(lambda: activity()[0] == "idle")
    session.close()


def test_an_error_of_a_query_that_is_not_wanted_is_not_raised(settings: Settings, kind: None) -> None:
    session = opened(settings)
    early = EarlyQuery(session)
    with session.transaction():
        session.execute("savepoint before")
        early.begin("select 1 / 0 as i", {})
        time.sleep(0.2)
        assert early.cancel()
        session.execute("rollback to savepoint before")
        assert rows(session, "select 1") == [(1,)]
    session.close()
