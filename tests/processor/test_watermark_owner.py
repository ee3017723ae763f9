"""A watermark is not applied to another source, table or stage: the stream stops, and the remedy works."""

import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from adventure import cli
from adventure.cli import stream as stream_commands
from adventure.core.clock import utc_now
from adventure.core.errors import AdventureError, AlreadyRunning, ConfigError, WatermarkMismatch
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.mongo import MongoServer
from adventure.demo.sandbox.postgres import PostgresServer
from adventure.demo.sandbox.process import free_port
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.monitoring.health.rules import find_problems
from adventure.monitoring.live import read_state
from adventure.processor.cycle import run_cycle
from adventure.processor.owner import origin_mismatch
from adventure.processor.reset import reset_stream
from adventure.processor.run import open_pipeline, process_forever, process_once
from adventure.processor.state import read_watermarks
from adventure.reconcile.run import reconcile
from tests.processor.conftest import on_standalone, stream_of, superuser, writer

Rows = list[dict[str, Any]]
Staged = Callable[[Stream], Rows]


def insert(settings: Settings, *ids: int) -> None:
    with writer(settings) as connection:
        for each in ids:
            connection.execute("insert into things (id) values (%s)", [each])


def loaded(settings: Settings, stream: Stream) -> list[int]:
    """Load, and return the keys in the raw table."""
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(stream)
    return [key for (key,) in warehouse.execute(f"select distinct id from {stream.raw_table} order by id")]


def run_remedy(monkeypatch: pytest.MonkeyPatch, settings: Settings, streams: list[Stream], sentence: str) -> None:
    """Run the first command that the sentence names."""
    found = re.search(r"`adventure (stream reset [^`]+)`", sentence)
    assert found, sentence
    monkeypatch.setattr(stream_commands, "pipeline_of", lambda _context: (settings, tuple(streams)))
    done = CliRunner().invoke(cli.app, found[1].split())
    assert done.exit_code == 0, (done.output, done.exception)


def refused(settings: Settings, *streams: Stream) -> str:
    """Return the sentence with which the processor stops these streams; check that `status` shows it too."""
    with pytest.raises(WatermarkMismatch) as error:
        process_once(settings, streams)
    state = read_state(settings, streams, DuckDBWarehouse(settings))
    sentences = [problem.sentence for problem in find_problems(state)]
    assert error.value.problem in sentences
    return str(error.value)


def test_a_second_data_dir_is_refused(
    settings: Settings, writer_settings: Settings, things: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(writer_settings, 1)
    process_once(settings, [things])
    insert(writer_settings, 2)
    second = settings.model_copy(update={"data_dir": tmp_path / "second"})
    sentence = refused(second, things)
    assert "belongs to the stage 'folder " in sentence
    run_remedy(monkeypatch, second, [things], sentence)
    process_once(second, [things])
    assert loaded(second, things) == [1, 2]
    assert find_problems(read_state(second, [things], DuckDBWarehouse(second))) == []
    assert "belongs to the stage" in refused(settings, things), "now the first one is the other one"


def test_a_stage_that_was_lost_with_its_windows_is_noticed(
    settings: Settings, writer_settings: Settings, things: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(writer_settings, 1)
    process_once(settings, [things])
    shutil.rmtree(settings.stage_dir)
    insert(writer_settings, 2)
    sentence = refused(settings, things)
    run_remedy(monkeypatch, settings, [things], sentence)
    process_once(settings, [things])
    assert loaded(settings, things) == [1, 2]


def test_a_stage_that_is_lost_while_the_processor_runs_is_noticed_by_the_next_cycle(
    settings: Settings, writer_settings: Settings, things: Stream
) -> None:
    insert(writer_settings, 1)
    with open_pipeline(settings, [things]) as pipeline:
        time.sleep(0.2)
        run_cycle(pipeline)
        shutil.rmtree(settings.stage_dir)
        insert(writer_settings, 2)
        time.sleep(0.2)
        (failure,) = run_cycle(pipeline).failures.values()
    assert isinstance(failure, WatermarkMismatch)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("cursor", "seen_at"),
        ("key", ("id", "note")),
        ("table", "other_things"),
        ("stage", "other_stage"),
        ("raw_table", "raw_ext.other_raw"),
    ],
)
def test_a_stream_that_pipeline_toml_describes_otherwise_is_refused(
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    value: Any,
) -> None:
    with writer(writer_settings) as connection:
        connection.execute("alter table things add column seen_at timestamp default (now() at time zone 'utc')")
    insert(writer_settings, 1)
    with writer(writer_settings) as connection:
        connection.execute("update things set note = 'n'")
        connection.execute("create table other_things as select * from things")
    process_once(settings, [things])
    assert loaded(settings, things) == [1]
    changed = replace(things, **{change: value})
    sentence = refused(settings, changed)
    assert f"was reached with {change} = " in sentence
    assert process_once(settings, [things]).streams[0].window is None, "changed back, it goes on"
    run_remedy(monkeypatch, settings, [changed], sentence)
    process_once(settings, [changed])
    assert loaded(settings, changed) == [1], "it is read again, though the stage still holds the row's first window"
    assert sum(window.rows for window in FolderStage(settings.stage_dir).windows(changed.stage)) >= 1
    assert find_problems(read_state(settings, [changed], DuckDBWarehouse(settings))) == []


def test_another_database_is_refused(
    settings: Settings, sandbox: Sandbox, writer_settings: Settings, things: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was restored from a dump, for example, and holds a row below the watermark that was never read."""
    insert(writer_settings, 1)
    process_once(settings, [things])
    name = f"{settings.postgres_db}_restored"
    with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"create database {name} template {settings.postgres_db}")
    other = settings.model_copy(update={"postgres_db": name})
    with writer(writer_settings.model_copy(update={"postgres_db": name})) as connection:
        connection.execute("insert into things (id, changed_at) values (2, '2020-01-01')")
    sentence = refused(other, things)
    assert "and the source is now system " in sentence
    run_remedy(monkeypatch, other, [things], sentence)
    process_once(other, [things])
    assert loaded(other, things) == [1, 2]


def test_reconcile_after_a_reset_deletes_what_the_new_source_lacks(
    settings: Settings, writer_settings: Settings, things: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remedy of a table that was replaced: reset the stream, load it, then `adventure reconcile --repair`."""
    insert(writer_settings, 1, 2, 3)
    process_once(settings, [things])
    assert loaded(settings, things) == [1, 2, 3]
    with writer(writer_settings) as connection:
        connection.execute("create table others (like things including all)")
        connection.execute("insert into others (id) values (2), (4)")
        connection.execute("grant select on others to adventure_reader")
    others = replace(things, table="others")
    run_remedy(monkeypatch, settings, [others], refused(settings, others))
    process_once(settings, [others])
    assert loaded(settings, others) == [1, 2, 3, 4]
    (report,) = reconcile(settings, [others], repair=True)
    assert report.failure is None
    DuckDBWarehouse(settings).load(others)
    assert DuckDBWarehouse(settings).live_key_count(others) == 2
    (report,) = reconcile(settings, [others])
    assert report.result is not None
    assert not report.result.differs


@pytest.mark.slow
def test_a_server_that_was_restored_to_an_older_state_is_noticed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = PostgresServer(tmp_path / "postgres", "secret", free_port(None), durable=False)
    source = settings.model_copy(
        update={
            "postgres_port": server.port,
            "postgres_db": "postgres",
            "postgres_user": "postgres",
            "postgres_password": SecretStr("secret"),
        }
    )
    things = stream_of("things")
    server.start()
    try:
        with writer(source) as connection:
            connection.execute("create table things (id int primary key, changed_at timestamp default now())")
            connection.execute("insert into things values (1)")
        data = Path(psycopg.connect(server.dsn()).execute("show data_directory").fetchone()[0])  # type: ignore[index]
        server.stop()
        shutil.copytree(data, tmp_path / "backup")
        server.start()
        with writer(source) as connection:
            connection.execute("insert into things select generate_series(2, 20000)")
        process_once(source, [things])
        backup_taken = "2020-01-01T00:00:00"
        server.stop()
        shutil.rmtree(data)
        shutil.copytree(tmp_path / "backup", data)
        _own_as(data)
        server.start()
        sentence = refused(source, things)
        assert "the source was restored to an older state: its log ends at" in sentence
        with writer(source) as connection:
            connection.execute("insert into things select generate_series(20001, 60000)")
        assert refused(source, things) == sentence, "the log is longer now, and what was read is lost all the same"
        run_remedy(monkeypatch, source, [things], sentence.replace("TIME", backup_taken))
        with writer(source) as connection:
            connection.execute("delete from things where id > 1")
            connection.execute("insert into things values (70000)")
        process_once(source, [things])
        assert loaded(source, things)[-1] == 70000
        assert find_problems(read_state(source, [things], DuckDBWarehouse(source))) == []
    finally:
        server.stop()


def _own_as(data: Path) -> None:
    """Give the files to `nobody` if the tests run as root, because the server then runs as `nobody`."""
    if os.geteuid() == 0:
        for path in (data, *data.rglob("*")):
            shutil.chown(path, "nobody")


def test_without_a_change_stream_another_collection_is_refused(
    settings: Settings,
    chat_stream: Stream,
    standalone: MongoServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = on_standalone(settings, standalone)
    with pymongo.MongoClient[dict[str, Any]](standalone.uri) as client:
        chats = client[settings.mongo_db][settings.mongo_collection]
        chats.insert_one({"_id": 1, "last_modified": utc_now()})
        process_once(alone, [chat_stream])
        chats.drop()
        chats.create_index("last_modified")
        chats.insert_one({"_id": 2, "last_modified": utc_now().replace(year=2020)})
        sentence = refused(alone, chat_stream)
        assert "and the source is now collection " in sentence
        run_remedy(monkeypatch, alone, [chat_stream], sentence)
        process_once(alone, [chat_stream])
    assert sum(window.rows for window in FolderStage(settings.stage_dir).windows(chat_stream.stage)) == 2


def test_the_other_streams_continue_and_streams_that_refer_to_it_wait(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    with writer(writer_settings) as connection:
        for table in ("parts", "apart"):
            connection.execute(
                f"create table {table} (id int, thing_id int, changed_at timestamp default (now() at time zone 'utc'))"
            )
    parts = stream_of(
        "parts", name="parts", stage="parts_stage", raw_table="raw_ext.parts", references={"things": ("thing_id",)}
    )
    apart = stream_of("apart", name="apart", stage="apart_stage", raw_table="raw_ext.apart")
    process_once(settings, [things, parts, apart])
    insert(writer_settings, 1)
    process_once(settings, [things, parts, apart])
    insert(writer_settings, 2)
    with writer(writer_settings) as connection:
        connection.execute("insert into parts values (1, 1); insert into apart values (1, 1)")
    with pytest.raises(WatermarkMismatch, match="things: the watermark"):
        process_once(settings, [replace(things, raw_table="raw_ext.other"), parts, apart])
    assert [row["id"] for row in staged(apart)] == [1]
    assert staged(parts) == []


def test_a_running_processor_continues_with_the_other_streams(
    settings: Settings, writer_settings: Settings, things: Stream, chat_stream: Stream
) -> None:
    insert(writer_settings, 1)
    process_once(settings, [things])
    changed = replace(things, raw_table="raw_ext.other")
    stop = threading.Event()
    process_forever(settings, [changed, chat_stream], interval=0.1, max_runtime=1.5, stop=stop)


def test_a_watermark_of_an_earlier_version_gets_its_owner_from_the_first_cycle(
    settings: Settings, writer_settings: Settings, things: Stream
) -> None:
    insert(writer_settings, 1)
    process_once(settings, [things])
    with psycopg.connect(settings.state_conninfo, autocommit=True) as connection:
        connection.execute("update adventure_watermarks set owner = null, origin = null")
    assert process_once(settings, [things]).streams[0].window is None
    mark = read_watermarks(settings)["things"]
    assert (mark.owner["raw_table"], mark.owner["cursor"]) == ("raw_ext.things_raw", "changed_at")
    assert mark.origin.name
    assert mark.origin.name.startswith("system ")


def test_a_role_without_access_to_the_system_identifier_uses_the_databases(
    settings: Settings, sandbox: Sandbox, writer_settings: Settings, things: Stream
) -> None:
    with superuser(sandbox, settings) as connection:
        connection.execute("revoke execute on function pg_control_system() from public")
    insert(writer_settings, 1)
    process_once(settings, [things])
    name = read_watermarks(settings)["things"].origin.name
    assert name
    assert name.startswith("database ")


def test_a_stream_is_read_again_from_a_chosen_point(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writer(writer_settings) as connection:
        for day in range(1, 4):
            connection.execute("insert into things (id, changed_at) values (%s, %s)", [day, f"2024-01-0{day}"])
    process_once(settings, [things])
    run_remedy(monkeypatch, settings, [things], "`adventure stream reset things --from 2024-01-02T01:00:00+01:00`")
    assert read_watermarks(settings)["things"].value.isoformat() == "2024-01-02T00:00:00"
    process_once(settings, [things])
    assert sorted(row["id"] for row in staged(things)) == [1, 2, 2, 3, 3]
    assert loaded(settings, things) == [1, 2, 3]


@pytest.mark.parametrize("point", [None, "2020-01-01"], ids=["its beginning", "a chosen point"])
def test_windows_staged_before_a_reset_are_not_recovered(
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    staged: Staged,
    monkeypatch: pytest.MonkeyPatch,
    point: str | None,
) -> None:
    """After a crash, a window whose low is the watermark is recovered. After a reset, such a window is an old one."""
    with writer(writer_settings) as connection:
        connection.execute("insert into things (id, changed_at) values (1, '2021-01-01')")
    command = f"`adventure stream reset things{f' --from {point}' if point else ''}`"
    run_remedy(monkeypatch, settings, [things], command)
    process_once(settings, [things])
    run_remedy(monkeypatch, settings, [things], command)
    process_once(settings, [things])
    assert [row["id"] for row in staged(things)] == [1, 1]


def test_a_reset_is_refused_while_a_processor_runs_and_names_it(settings: Settings, things: Stream) -> None:
    with (
        open_pipeline(settings, [things]),
        pytest.raises(AlreadyRunning, match=r"works on the stream things: adventure on .*, pid \d+ \(session \d+"),
    ):
        reset_stream(settings, things, None)


@pytest.mark.parametrize(
    ("point", "said"), [("2999-01-01", "would be skipped"), ("yesterday", "'yesterday' is not a timestamp")]
)
def test_a_point_that_would_skip_rows_or_is_invalid_is_refused(
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    said: str,
) -> None:
    insert(writer_settings, 1)
    process_once(settings, [things])
    monkeypatch.setattr(stream_commands, "pipeline_of", lambda _context: (settings, (things,)))
    done = CliRunner().invoke(cli.app, ["stream", "reset", "things", "--from", point])
    assert isinstance(done.exception, ConfigError)
    assert said in str(done.exception)


def test_a_deleted_watermark_does_not_come_back(settings: Settings, writer_settings: Settings, things: Stream) -> None:
    insert(writer_settings, 1)
    with open_pipeline(settings, [things]) as pipeline:
        time.sleep(0.2)
        run_cycle(pipeline)
        with psycopg.connect(settings.state_conninfo, autocommit=True) as connection:
            connection.execute("delete from adventure_watermarks")
        insert(writer_settings, 2)
        time.sleep(0.2)
        (failure,) = run_cycle(pipeline).failures.values()
    assert isinstance(failure, AdventureError)
    assert "was moved by another process" in str(failure)
    assert read_watermarks(settings) == {}


def test_another_timeline_is_logged_once_and_the_stream_continues(
    settings: Settings, writer_settings: Settings, things: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    insert(writer_settings, 1)
    process_once(settings, [things])
    with psycopg.connect(settings.state_conninfo, autocommit=True) as connection:
        connection.execute(
            "update adventure_watermarks set origin = jsonb_set(origin::jsonb, '{timeline}', to_jsonb(99))::text"
        )
    process_once(settings, [things])
    process_once(settings, [things])
    assert capsys.readouterr().out.count("the source is on timeline 1, and was on 99") == 1


@pytest.mark.parametrize(
    ("now", "said", "lasting"),
    [
        (Origin("system 1", 90), "was restored to an older state: its log ends at 90, and ended at 100", True),
        (Origin("system 1", 90, is_standby=True), "the standby lags: its log ends at 90", False),
        (Origin("system 2", 200), "was read from system 1, and the source is now system 2", False),
        (Origin("system 1", 100), None, False),
        (Origin("system 1", None), None, False),
        (Origin(None, None), None, False),
    ],
)
def test_origins(now: Origin, said: str | None, lasting: bool) -> None:
    mark = Watermark("things", utc_now(), utc_now(), "horizon", utc_now(), origin=Origin("system 1", 100))
    mismatch = origin_mismatch(mark, stream_of("things"), now)
    assert (said in str(mismatch)) if said else mismatch is None
    assert mismatch is None or mismatch.lasting == lasting


def test_a_change_stream_with_a_position_needs_no_origin_check() -> None:
    mark = Watermark("chats", utc_now(), utc_now(), "change stream", utc_now(), origin=Origin("collection 1"))
    now = Origin("collection 2", follows=True)
    assert origin_mismatch(mark, stream_of("chats"), now) is not None
    assert origin_mismatch(replace(mark, position="{}"), stream_of("chats"), now) is None
