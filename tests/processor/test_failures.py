"""When something around the processor fails, no window is staged in part, and the next cycle stages the rows."""

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from adventure.core import connect
from adventure.core.errors import SourceError, SourceUnavailable
from adventure.core.files import ParquetParts
from adventure.core.manifest import Window
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.process import free_port
from adventure.destinations.duckdb.stage import FolderStage
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_forever, process_once
from adventure.processor.state import read_watermarks
from adventure.sources import prefetch as ahead
from adventure.sources.postgres import copy as copy_session
from tests.processor.conftest import Rows, writer

Staged = Callable[[Stream], Rows]

MANY = 20_000


def insert(settings: Settings, count: int, first: int = 1) -> None:
    with writer(settings) as connection:
        connection.execute("insert into things (id) select generate_series(%s::int, %s)", [first, first + count - 1])


@pytest.fixture
def more_than_is_read_ahead(things: Stream, writer_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Insert MANY rows, so that most are still at the server when the first are written."""
    monkeypatch.setattr(ahead, "DEPTH", 1)
    monkeypatch.setattr(copy_session, "BYTES_A_BATCH", 64 << 10)
    with writer(writer_settings) as connection:
        connection.execute("insert into things (id, note) select generate_series(1, %s), repeat('x', 1000)", [MANY])


def end_sessions_of_the_state(sandbox: Sandbox, settings: Settings) -> None:
    with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
            [f"{settings.postgres_db}_state"],
        )


def test_a_state_database_that_is_lost_before_the_watermark_moves(
    sandbox: Sandbox,
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    staged: Staged,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    insert(writer_settings, 10)

    def commit_and_lose(stage: FolderStage, window: Window) -> None:
        commit(stage, window)
        end_sessions_of_the_state(sandbox, settings)

    commit = FolderStage.commit
    with monkeypatch.context() as patch:
        patch.setattr(FolderStage, "commit", commit_and_lose)
        with pytest.raises(SourceError, match="the state database"):
            process_once(settings, [things])
    assert read_watermarks(settings) == {}
    insert(writer_settings, 10, first=11)
    process_once(settings, [things])
    assert [row["id"] for row in staged(things)] == list(range(1, 21)), "the whole window was adopted, not read again"


@pytest.mark.usefixtures("more_than_is_read_ahead")
def test_a_server_that_is_killed_during_an_extract(
    sandbox: Sandbox,
    settings: Settings,
    things: Stream,
    staged: Staged,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches: list[int] = []

    def write_and_kill(parts: ParquetParts, batch: pa.RecordBatch) -> None:
        write(parts, batch)
        if not batches:
            sandbox.postgres.kill()
        batches.append(batch.num_rows)

    write = ParquetParts.write
    try:
        with monkeypatch.context() as patch:
            patch.setattr(ParquetParts, "write", write_and_kill)
            with pytest.raises(SourceUnavailable):
                process_once(settings, [things])
    finally:
        sandbox.postgres.start()
    assert 0 < sum(batches) < MANY, "it was in the middle of its rows"
    assert read_watermarks(settings) == {}
    assert FolderStage(settings.stage_dir).entries(things.stage) == []
    process_once(settings, [things])
    assert [row["id"] for row in staged(things)] == list(range(1, MANY + 1))


@pytest.mark.usefixtures("more_than_is_read_ahead")
@pytest.mark.parametrize(
    ("end", "error", "sentence"),
    [
        ("pg_cancel_backend", SourceError, "canceling statement due to user request"),
        ("pg_terminate_backend", SourceUnavailable, "terminating connection due to|server closed the connection"),
    ],
)
def test_an_error_of_the_server_in_the_middle_of_its_rows_is_reported(
    sandbox: Sandbox,
    settings: Settings,
    things: Stream,
    staged: Staged,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
    error: type[SourceError],
    sentence: str,
) -> None:
    session = "datname = %s and application_name = 'adventure' and query like 'COPY %%'"

    def write_and_end(parts: ParquetParts, batch: pa.RecordBatch) -> None:
        write(parts, batch)
        with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
            connection.execute(f"select {end}(pid) from pg_stat_activity where {session}", [settings.postgres_db])

    write = ParquetParts.write
    with monkeypatch.context() as patch:
        patch.setattr(ParquetParts, "write", write_and_end)
        with pytest.raises(error, match=sentence):
            process_once(settings, [things])
    assert read_watermarks(settings) == {}
    process_once(settings, [things])
    assert [row["id"] for row in staged(things)] == list(range(1, MANY + 1))


def test_a_source_that_does_not_answer_does_not_stop_the_others(
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    streams: tuple[Stream, ...],
    staged: Staged,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connect, "RETRY_FOR_SEC", 0.1)
    insert(writer_settings, 3)
    nobody = settings.model_copy(update={"mongo_uri": None, "mongo_host": "127.0.0.1", "mongo_port": free_port(None)})
    chats = streams[2]
    for order in ([chats, things], [things, chats]):
        with pytest.raises(SourceUnavailable, match=r"MongoDB at 127\.0\.0\.1"):
            process_once(nobody, order)
        assert [row["id"] for row in staged(things)] == [1, 2, 3]
    with pytest.raises(SourceUnavailable, match=r"MongoDB at 127\.0\.0\.1"):
        process_once(nobody, [chats])


def test_a_running_processor_does_not_wait_for_a_source_that_does_not_answer(
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    streams: tuple[Stream, ...],
    staged: Staged,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connect, "RETRY_FOR_SEC", 3600.0)
    nobody = settings.model_copy(update={"mongo_uri": None, "mongo_host": "127.0.0.1", "mongo_port": free_port(None)})
    stop = threading.Event()
    processor = threading.Thread(
        target=process_forever,
        args=[nobody, [streams[2], things]],
        kwargs={"interval": 0.1, "max_runtime": 120, "stop": stop},
    )
    processor.start()
    try:
        for rows in (1, 2):
            insert(writer_settings, 1, rows)
            deadline = time.monotonic() + 60
            while len(staged(things)) < rows and time.monotonic() < deadline:
                time.sleep(0.1)
            assert len(staged(things)) == rows
    finally:
        stop.set()
        processor.join()


def test_only_the_opening_of_the_state_reads_the_stage(
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed: list[str] = []

    def listing(name: str) -> Callable[..., Any]:
        original = getattr(FolderStage, name)

        def call(stage: FolderStage, of: str) -> Any:
            listed.append(name)
            return original(stage, of)

        return call

    for name in ("windows", "damaged", "entries", "discard_unfinished"):
        monkeypatch.setattr(FolderStage, name, listing(name))
    insert(writer_settings, 1)
    with open_pipeline(settings, [things]) as pipeline:
        assert listed == ["windows", "discard_unfinished"]
        for _ in range(3):
            run_cycle(pipeline)
            time.sleep(0.15)
    assert listed == ["windows", "discard_unfinished"]
