"""Change streams stage every insert, update, replace and delete, whatever is lost, dropped or interrupted meanwhile."""

import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import pytest
from bson import ObjectId, json_util
from pydantic import SecretStr
from pymongo.errors import OperationFailure

from adventure.core.errors import SourceUnavailable, StageUnwritable
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox.mongo import MongoServer
from adventure.demo.sandbox.process import free_port
from adventure.destinations.duckdb.stage import FolderStage
from adventure.processor import state
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import read_watermarks
from adventure.sources.mongo import origin
from adventure.sources.mongo import reader as mongo
from adventure.sources.mongo.change_stream import ChangeStream
from tests.processor.conftest import Rows, names, on_standalone

Staged = Callable[[Stream], Rows]

NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def document(number: int, **fields: Any) -> dict[str, Any]:
    """Return a document as a writer inserts it, with the time of its clock."""
    return {"_id": number, "n": str(number), "last_modified": datetime.now(UTC).replace(tzinfo=None)} | fields


def mode(settings: Settings) -> str:
    return read_watermarks(settings)["chat_logs"].mode


def position(settings: Settings) -> Any:
    return json_util.loads(read_watermarks(settings)["chat_logs"].position or "null")


def latest(staged: Rows, deleted: Rows) -> dict[Any, Any]:
    """Return the rows of the models: for each key the version with the largest cursor, unless that is a deletion."""
    versions: list[tuple[Any, int, Any, dict[str, Any] | None]] = [
        (row["last_modified"].rstrip("Z"), 1, row["_id"], row) for row in staged
    ]
    versions += [(row["deleted_at"], 0, json_util.loads(row["key"]["_id"]), None) for row in deleted]
    found = {key: row for _, _, key, row in sorted(versions, key=lambda each: each[:2])}
    return {key: row for key, row in found.items() if row is not None}


def test_every_kind_of_change_is_staged(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged, deleted: Staged
) -> None:
    chats.insert_many([document(1), document(2), document(3)])
    with open_pipeline(settings, [chat_stream]) as pipeline:
        run_cycle(pipeline)
        chats.insert_one(document(4))
        chats.update_one({"_id": 1}, {"$set": {"n": "updated"}})
        chats.replace_one({"_id": 2}, {"n": "replaced", "last_modified": NOW})
        chats.delete_one({"_id": 3})
        before = datetime.now(UTC).replace(tzinfo=None)
        (report,) = run_cycle(pipeline).streams
        assert run_cycle(pipeline).streams[0].window is None
    assert report.rows_staged == 3
    assert names(staged(chat_stream)) == ["1", "2", "3", "4", "replaced", "updated"]
    (deletion,) = deleted(chat_stream)
    assert deletion["key"] == {"_id": "3"}
    assert abs(datetime.fromisoformat(deletion["deleted_at"]) - before) < timedelta(seconds=5)
    assert mode(settings) == "change stream"


def test_a_change_stream_finds_changes_that_no_cursor_finds(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged, rejected: Staged
) -> None:
    chats.insert_one({"_id": 1, "n": "a", "last_modified": NOW})
    process_once(settings, [chat_stream])
    chats.insert_many(
        [
            {"_id": 2, "n": "years late", "last_modified": NOW - timedelta(days=3000)},
            {"_id": 3, "n": "of the future", "last_modified": NOW + timedelta(days=3000)},
            {"_id": 4, "n": "no cursor"},
        ]
    )
    chats.update_one({"_id": 1}, {"$set": {"n": "its cursor was forgotten"}})
    process_once(settings, [chat_stream])
    assert names(staged(chat_stream)) == ["a", "its cursor was forgotten", "of the future", "years late"]
    assert [row["key"] for row in rejected(chat_stream)] == ["4"]
    high = read_watermarks(settings)["chat_logs"].value
    assert high < NOW + timedelta(seconds=1), "a document of the future does not move the watermark"


def test_writes_during_the_first_window_are_not_lost(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats.insert_one(document(1))
    documents = mongo.CollectionReader._documents

    def meanwhile(*arguments: Any) -> Any:
        yield from documents(*arguments)
        chats.insert_one(document(2))

    with monkeypatch.context() as patch:
        patch.setattr(mongo.CollectionReader, "_documents", meanwhile)
        process_once(settings, [chat_stream])
    assert names(staged(chat_stream)) == ["1"]
    process_once(settings, [chat_stream])
    assert names(staged(chat_stream)) == ["1", "2"]


def test_a_backlog_takes_several_windows_of_one_cycle(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo, "CHANGES_A_WINDOW", 10)
    chats.insert_one(document(0))
    process_once(settings, [chat_stream])
    chats.insert_many([document(number) for number in range(1, 36)])
    reports = process_once(settings, [chat_stream]).streams
    assert [report.rows_staged for report in reports] == [10, 10, 10, 5]
    assert sorted(row["_id"] for row in staged(chat_stream)) == list(range(36))
    highs = [window.high for window in FolderStage(settings.stage_dir).windows(chat_stream.stage)]
    assert highs == sorted(set(highs)), "each window has an end of its own, so that their order is that of the changes"


def test_an_idle_cycle_saves_the_position_once_a_minute(
    settings: Settings, chats: Any, chat_stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats.insert_one(document(1))
    with open_pipeline(settings, [chat_stream]) as pipeline:
        run_cycle(pipeline)
        begun = position(settings)
        chats.database["others"].insert_one({"n": "moves the oplog, not the stream"})
        run_cycle(pipeline)
        assert position(settings) == begun
        monkeypatch.setattr(state, "SAVE_POSITION_SEC", 0.0)
        run_cycle(pipeline)
        assert position(settings) != begun
        assert not list((settings.unfinished_dir).rglob("*.gz"))
    chats.insert_one(document(2))
    assert process_once(settings, [chat_stream]).streams[0].rows_staged == 1


def test_a_document_that_is_inserted_again_is_not_deleted(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged, deleted: Staged
) -> None:
    chats.insert_many([document(1), document(2)])
    with open_pipeline(settings, [chat_stream]) as pipeline:
        run_cycle(pipeline)
        chats.delete_many({})
        chats.insert_one(document(1, n="back in the same window"))
        run_cycle(pipeline)
        assert [row["key"]["_id"] for row in deleted(chat_stream)] == ["2"]
        chats.insert_one(document(2, n="back in a later window"))
        run_cycle(pipeline)
    assert names(list(latest(staged(chat_stream), deleted(chat_stream)).values())) == [
        "back in a later window",
        "back in the same window",
    ]


def test_a_deletion_is_later_than_a_version_from_a_fast_clock(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged, deleted: Staged
) -> None:
    chats.insert_one(document(1, last_modified=NOW + timedelta(hours=1)))
    with open_pipeline(settings, [chat_stream]) as pipeline:
        run_cycle(pipeline)
        chats.delete_one({"_id": 1})
        run_cycle(pipeline)
    assert latest(staged(chat_stream), deleted(chat_stream)) == {}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (ObjectId("65f000000000000000000001"), "65f000000000000000000001"),
        (7, "7"),
        ("a-7", "a-7"),
        ({"a": 1, "b": "x"}, '{"a":{"$numberInt":"1"},"b":"x"}'),
    ],
)
def test_the_key_of_a_deleted_document_reads_as_in_its_json(
    settings: Settings, chats: Any, chat_stream: Stream, deleted: Staged, key: object, text: str
) -> None:
    chats.insert_one({"_id": key, "last_modified": NOW})
    process_once(settings, [chat_stream])
    chats.delete_one({"_id": key})
    process_once(settings, [chat_stream])
    assert [row["key"] for row in deleted(chat_stream)] == [{"_id": text}]


@pytest.fixture
def forgetful(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A separate server with a short oplog."""
    server = MongoServer(tmp_path / "forgetful", free_port(None), options=("--oplog-max-entries", "5"), durable=False)
    server.start()
    yield settings.model_copy(update={"mongo_uri": SecretStr(server.uri)})
    server.stop()


def test_a_position_that_fell_off_the_oplog_reads_the_lookback_again(
    forgetful: Settings, chat_stream: Stream, staged: Staged, capsys: pytest.CaptureFixture[str]
) -> None:
    with pymongo.MongoClient[dict[str, Any]](forgetful.mongo_conninfo) as client:
        chats = client[forgetful.mongo_db][forgetful.mongo_collection]
        chats.insert_many([document(1), document(2, last_modified=NOW - timedelta(days=1))])
        process_once(forgetful, [chat_stream])
        chats.insert_one(document(3))
        client["others"]["others"].insert_many([{"n": number} for number in range(20)])
        assert client.admin.command("secantusAdmin.pruneOplog")["pruned"]
        process_once(forgetful, [chat_stream])
        assert names(staged(chat_stream)) == ["1", "1", "2", "3"], "those far below the watermark are not read again"
        assert mode(forgetful) == "change stream, read again: its position fell off the oplog"
        assert "deleted meanwhile are unknown: `adventure reconcile --repair`" in capsys.readouterr().out
        chats.insert_one(document(4))
        process_once(forgetful, [chat_stream])
        assert mode(forgetful) == "change stream"
    assert names(staged(chat_stream)) == ["1", "1", "2", "3", "4"]


@pytest.mark.parametrize("code", [136, 280, 286])
def test_a_position_lost_in_an_open_change_stream_reads_the_lookback_again(
    settings: Settings,
    chats: Any,
    chat_stream: Stream,
    staged: Staged,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    """Answer as a real server; the embedded one does not check whether its oplog still holds the next entries."""

    def lost(_: Any) -> Any:
        raise OperationFailure("Executor error during getMore", code)

    with open_pipeline(settings, [chat_stream]) as pipeline:
        chats.insert_one(document(1))
        run_cycle(pipeline)
        chats.insert_one(document(2))
        with monkeypatch.context() as patch:
            patch.setattr(pymongo.change_stream.CollectionChangeStream, "try_next", lost)
            run_cycle(pipeline)
        assert mode(settings).startswith("change stream, read again: ")
        assert names(staged(chat_stream)) == ["1", "2"], "documents that were staged are not staged again"
        chats.insert_one(document(3))
        run_cycle(pipeline)
    assert names(staged(chat_stream)) == ["1", "2", "3"]


def test_an_idle_change_stream_is_resumed_at_its_position(
    forgetful: Settings, chat_stream: Stream, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        pymongo.MongoClient[dict[str, Any]](forgetful.mongo_conninfo) as client,
        open_pipeline(forgetful, [chat_stream]) as pipeline,
    ):
        chats = client[forgetful.mongo_db][forgetful.mongo_collection]
        chats.insert_one(document(1))
        run_cycle(pipeline)
        chats.insert_one(document(2))
        client["others"]["others"].insert_many([{"n": number} for number in range(20)])
        assert client.admin.command("secantusAdmin.pruneOplog")["pruned"]
        monkeypatch.setattr(mongo, "_REST", timedelta(0))
        run_cycle(pipeline)
    assert names(staged(chat_stream)) == ["1", "2"]


@pytest.mark.parametrize("way", ["dropped", "renamed", "created again while nobody read", "another collection"])
def test_a_collection_that_is_no_longer_the_same_is_read_from_its_first_document(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged, way: str
) -> None:
    chats.insert_one(document(1))
    with open_pipeline(settings, [chat_stream]) as pipeline:
        run_cycle(pipeline)
        if way == "dropped":
            chats.drop()
            run_cycle(pipeline)
        elif way == "renamed":
            chats.rename("archive")
            run_cycle(pipeline)
    if way == "created again while nobody read":
        chats.drop()
    elif way == "another collection":
        with psycopg.connect(settings.state_conninfo) as connection:
            connection.execute("update adventure_watermarks set position = replace(position, 'chats', 'archive')")
    chats.insert_one(document(2, last_modified=NOW - timedelta(days=9)))
    process_once(settings, [chat_stream])
    assert "2" in names(staged(chat_stream))


def test_a_set_that_becomes_standalone_and_back_loses_nothing(
    settings: Settings,
    chats: Any,
    chat_stream: Stream,
    staged: Staged,
    standalone: MongoServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = on_standalone(settings, standalone)
    # A real server keeps the UUIDs of its collections when it is restarted; here it is another server.
    monkeypatch.setattr(origin, "collection_uuid", lambda _collection: "5" * 32)
    with pymongo.MongoClient[dict[str, Any]](standalone.uri) as client:
        copy = client[settings.mongo_db][settings.mongo_collection]
        for number, (read_by, here) in enumerate([(settings, chats), (alone, copy), (settings, chats), (alone, copy)]):
            # The new server has none of the data.
            for collection in (chats, copy):
                collection.insert_one(document(number * 2))
            process_once(read_by, [chat_stream])
            here.insert_one(document(number * 2 + 1))
            process_once(read_by, [chat_stream])
            assert mode(settings) == ("change stream" if here is chats else "lookback: not a replica set")
    assert {row["_id"] for row in staged(chat_stream)} == set(range(8))


def test_a_user_who_may_not_watch_reads_by_lookback(
    settings: Settings,
    chats: Any,
    chat_stream: Stream,
    staged: Staged,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OperationFailure("not authorized to execute command { aggregate: ... }", 13)

    chats.insert_one(document(1))
    with open_pipeline(settings, [chat_stream]) as pipeline:
        with monkeypatch.context() as patch:
            patch.setattr(pymongo.collection.Collection, "watch", refuse)
            run_cycle(pipeline)
            run_cycle(pipeline)
        assert mode(settings).startswith(f"lookback: the user may not watch {chat_stream.location}: grant it")
        assert capsys.readouterr().out.count("reads by lookback: the user may not watch") == 1
        chats.insert_one(document(2))
        monkeypatch.setattr(mongo, "_AGAIN_SECONDS", 0.0)
        for cursor in pipeline.sources["mongo"]._cursors.values():  # type: ignore[attr-defined]
            cursor.ask_again_at = 0.0
        run_cycle(pipeline)
    assert mode(settings) == "change stream", "it was granted meanwhile"
    assert names(staged(chat_stream)) == ["1", "2"]


@pytest.mark.parametrize("large", [1, 2, 3])
def test_an_event_that_is_too_large_is_read_without_its_document(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    """A real server fails if the event of a 16 MB document exceeds the size limit; the embedded one does not."""
    chats.insert_one(document(0))
    process_once(settings, [chat_stream])
    chats.insert_many([document(number, n="large" if number == large else "") for number in (1, 2, 3)])
    real = pymongo.change_stream.CollectionChangeStream.try_next

    def too_large(self: Any) -> Any:
        event = real(self)
        if event is not None and event.get("fullDocument", {}).get("n") == "large":
            raise OperationFailure("BSONObj size: 16777300 is invalid. Size must be between 0 and 16793600", 10334)
        return event

    monkeypatch.setattr(pymongo.change_stream.CollectionChangeStream, "try_next", too_large)
    _keep_the_token_before_a_failure(monkeypatch)
    process_once(settings, [chat_stream])
    monkeypatch.undo()
    chats.insert_one(document(4))
    process_once(settings, [chat_stream])
    assert sorted(row["_id"] for row in staged(chat_stream)) == [0, 1, 2, 3, 4]


def _keep_the_token_before_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver received the event, so its token is past it; with a real failure it would not have received it."""
    reopen, tokens = ChangeStream._reopen, {}
    following = ChangeStream._next

    def remember(self: ChangeStream) -> Any:
        tokens[id(self)] = self._stream.resume_token
        return following(self)

    def go_back(self: ChangeStream) -> None:
        self._stream._resume_token = tokens[id(self)]
        reopen(self)

    monkeypatch.setattr(ChangeStream, "_next", remember)
    monkeypatch.setattr(ChangeStream, "_reopen", go_back)


def test_a_window_that_could_not_be_staged_is_read_again(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats.insert_one(document(1))
    with open_pipeline(settings, [chat_stream]) as pipeline:
        run_cycle(pipeline)
        chats.insert_one(document(2))

        def full(*_: object) -> None:
            raise StageUnwritable("No space left")

        with monkeypatch.context() as patch:
            patch.setattr(FolderStage, "put", full)
            assert run_cycle(pipeline).failures
        chats.insert_one(document(3))
        assert not run_cycle(pipeline).failures
    assert names(staged(chat_stream)) == ["1", "2", "3"]


def test_a_complete_window_is_recovered_with_its_position(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged
) -> None:
    chats.insert_one(document(1))
    process_once(settings, [chat_stream])
    chats.insert_one(document(2, last_modified=NOW - timedelta(days=1)))
    with psycopg.connect(settings.state_conninfo) as connection:
        (before,) = connection.execute("select watermark, position from adventure_watermarks").fetchall()
    process_once(settings, [chat_stream])
    after = position(settings)
    with psycopg.connect(settings.state_conninfo) as connection:
        connection.execute("update adventure_watermarks set watermark = %s, position = %s", before)
    assert process_once(settings, [chat_stream]).streams[0].window is None
    assert position(settings) == after
    assert names(staged(chat_stream)) == ["1", "2"], "a late document is a window that is adopted as well"


def test_a_deletion_after_a_first_window_whose_watermark_was_never_saved_is_found(
    settings: Settings,
    chats: Any,
    chat_stream: Stream,
    staged: Staged,
    deleted: Staged,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The window was loaded and removed before the processor started again, so nothing of it is left to recover."""
    chats.insert_many([document(1), document(2)])
    with monkeypatch.context() as patch:
        patch.setattr(state.State, "advance", unavailable)
        with pytest.raises(SourceUnavailable):
            process_once(settings, [chat_stream])
    loaded = staged(chat_stream)
    assert names(loaded) == ["1", "2"]
    shutil.rmtree(settings.stage_dir / chat_stream.stage)
    with psycopg.connect(settings.state_conninfo) as connection:
        [(watermark, begun)] = connection.execute("select watermark, position from adventure_watermarks").fetchall()
    assert (watermark, json_util.loads(begun)["collection"]) == (None, chat_stream.location)
    chats.delete_one({"_id": 1})
    chats.insert_one(document(3))
    process_once(settings, [chat_stream])
    process_once(settings, [chat_stream])
    assert [row["key"] for row in deleted(chat_stream)] == [{"_id": "1"}]
    assert sorted(latest([*loaded, *staged(chat_stream)], deleted(chat_stream))) == [2, 3]


def test_a_deletion_between_a_first_window_and_the_next_start_is_found_beside_a_writer(
    settings: Settings, chats: Any, chat_stream: Stream, deleted: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer of the change stream has a change already, so the server has given no token before it."""
    chats.insert_many([document(1), document(2)])
    watch = ChangeStream._watch

    def beside_a_writer(stream: ChangeStream, **start: Any) -> Any:
        chats.insert_one(document(3))
        return watch(stream, **start)

    with monkeypatch.context() as patch:
        patch.setattr(ChangeStream, "_watch", beside_a_writer)
        process_once(settings, [chat_stream])
    assert position(settings)["collection"] == chat_stream.location
    chats.delete_one({"_id": 1})
    process_once(settings, [chat_stream])
    assert [row["key"] for row in deleted(chat_stream)] == [{"_id": "1"}]
    assert mode(settings) == "change stream"


def unavailable(*_: object, **__: object) -> None:
    raise SourceUnavailable("the state database does not answer", "Check that it runs")


def test_a_position_of_a_stream_without_documents_is_kept_fresh(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is never saved again would fall off the oplog before the first document comes."""
    monkeypatch.setattr(state, "SAVE_POSITION_SEC", 0)
    chats.insert_one(document(1))
    chats.delete_one({"_id": 1})
    begun = []
    with open_pipeline(settings, [chat_stream]) as pipeline:
        for _ in range(2):
            assert [report.window for report in run_cycle(pipeline).streams] == [None]
            begun.append(pipeline.state.begun["chat_logs"])
            chats.database["others"].insert_one({})
    assert begun[0] != begun[1]
    assert read_watermarks(settings) == {}
    chats.insert_one(document(2))
    process_once(settings, [chat_stream])
    assert names(staged(chat_stream)) == ["2"]


def test_a_table_of_an_earlier_version_gets_its_column(settings: Settings, chats: Any, chat_stream: Stream) -> None:
    chats.insert_one(document(1))
    process_once(settings, [chat_stream])
    with psycopg.connect(settings.state_conninfo) as connection:
        connection.execute("alter table adventure_watermarks drop column position")
    assert read_watermarks(settings)["chat_logs"].position is None
    process_once(settings, [chat_stream])
    assert position(settings)["collection"] == chat_stream.location


@pytest.mark.parametrize("way", ["change stream", "lookback"])
def test_under_writers_the_stage_holds_what_the_source_holds(
    settings: Settings, chat_stream: Stream, staged: Staged, deleted: Staged, standalone: MongoServer, way: str
) -> None:
    """Eight writers insert, update, replace and, with a change stream, delete documents and insert them again."""
    read_by = settings if way == "change stream" else on_standalone(settings, standalone)

    def write(writer: int) -> None:
        with pymongo.MongoClient[dict[str, Any]](read_by.mongo_conninfo) as client:
            chats = client[settings.mongo_db][settings.mongo_collection]
            for step in range(120):
                key = writer * 1000 + step % 40
                if step < 40:
                    chats.insert_one(document(key, step=step))
                elif step % 7 == 0 and way == "change stream":
                    chats.delete_one({"_id": key})
                elif step % 3:
                    chats.replace_one({"_id": key}, document(key, step=step), upsert=True)
                else:
                    now = datetime.now(UTC).replace(tzinfo=None)
                    chats.update_one({"_id": key}, {"$set": {"step": step, "last_modified": now}})

    stop = threading.Event()
    writers = [threading.Thread(target=write, args=[number]) for number in range(8)]

    def poll() -> None:
        # Open the pipeline again each time, as if the processor were restarted.
        while not stop.is_set():
            with open_pipeline(read_by, [chat_stream]) as pipeline:
                for _ in range(5):
                    assert not run_cycle(pipeline).failures

    poller = threading.Thread(target=poll)
    for thread in (*writers, poller):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    poller.join()
    process_once(read_by, [chat_stream])

    with pymongo.MongoClient[dict[str, Any]](read_by.mongo_conninfo) as client:
        source = {each["_id"]: each["step"] for each in client[settings.mongo_db][settings.mongo_collection].find()}
    found = latest(staged(chat_stream), deleted(chat_stream))
    assert {key: row["step"] for key, row in found.items()} == source
    assert len(source) > 200
