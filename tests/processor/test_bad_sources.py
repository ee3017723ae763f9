"""When a source or stream fails during a run, the others continue, and it is tried again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo.errors import NetworkTimeout

from adventure.core import failures
from adventure.core.errors import AdventureError, SourceRefused, SourceUnavailable
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox import Sandbox
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_forever, process_once
from adventure.sources.mongo.connect import translating_mongo
from tests.processor.conftest import Rows, stream_of, superuser, writer
from tests.proxy import How, Proxy, Strike
from tests.waiting import until

Staged = Callable[[Stream], Rows]


def insert(settings: Settings, key: int) -> None:
    with writer(settings) as connection:
        connection.execute("insert into things (id) values (%s)", [key])


def insert_chat(chats: Any, key: int) -> None:
    chats.insert_one({"_id": key, "last_modified": "2026-01-01T00:00:00"})


def keys(rows: Rows) -> list[int]:
    return sorted({row["id"] for row in rows})


class Running:
    """Run `process_forever` in a thread."""

    def __init__(self, settings: Settings, streams: list[Stream]) -> None:
        self._settings, self._streams = settings, streams
        self._stop = threading.Event()
        self.error: AdventureError | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            process_forever(self._settings, self._streams, interval=0.1, max_runtime=300, stop=self._stop)
        except AdventureError as error:
            self.error = error

    def __enter__(self) -> "Running":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.thread.join()


@pytest.fixture
def own_reader(sandbox: Sandbox, settings: Settings) -> Iterator[Settings]:
    """Settings with a role of their own, whose password the test may change."""
    role = f"reader_of_{settings.postgres_db}"
    with superuser(sandbox, settings) as connection:
        connection.execute(f"create role {role} login password 'right' in role adventure_reader".encode())
        try:
            yield settings.model_copy(update={"postgres_user": role, "postgres_password": SecretStr("right")})
        finally:
            connection.execute(f"drop role {role}".encode())


def change_password(sandbox: Sandbox, settings: Settings, password: str) -> None:
    """Change the role's password, and end its sessions."""
    with superuser(sandbox, settings) as connection:
        connection.execute(f"alter role {settings.postgres_user} password '{password}'".encode())
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [settings.postgres_user]
        )


def test_a_source_that_refuses_in_the_middle_of_a_run(
    sandbox: Sandbox,
    own_reader: Settings,
    writer_settings: Settings,
    things: Stream,
    chat_stream: Stream,
    chats: Any,
    staged: Staged,
) -> None:
    insert(writer_settings, 1)
    with Running(own_reader, [things, chat_stream]) as running:
        until(lambda: keys(staged(things)) == [1])
        change_password(sandbox, own_reader, "other")
        for key in (1, 2):
            insert(writer_settings, 1 + key)
            insert_chat(chats, key)
            until(lambda number=key: len(staged(chat_stream)) == number)  # type: ignore[misc]
        assert running.thread.is_alive()
        assert keys(staged(things)) == [1]
        # The connection that was open is ended first, which is another failure.
        until(lambda: "password authentication failed" in failures.read(own_reader.processor_failures)[0].problem)
        [failure] = failures.read(own_reader.processor_failures)
        assert failure.streams == ("things",)
        change_password(sandbox, own_reader, "right")
        until(lambda: keys(staged(things)) == [1, 2, 3])
        until(lambda: failures.read(own_reader.processor_failures) == ())
    assert running.error is None
    assert len(staged(things)) == 3
    assert len(staged(chat_stream)) == 2


def test_the_processor_ends_at_its_start_when_every_source_refuses(
    sandbox: Sandbox, own_reader: Settings, things: Stream
) -> None:
    change_password(sandbox, own_reader, "other")
    with Running(own_reader, [things]) as running:
        running.thread.join(60)
        assert not running.thread.is_alive()
    assert isinstance(running.error, SourceRefused)
    assert "password authentication failed" in str(running.error)
    assert len(failures.read(own_reader.processor_failures)) == 1, "it stays to say why the processor ended"


def test_a_processor_that_has_read_goes_on_when_its_only_source_accepts_it_again(
    sandbox: Sandbox, own_reader: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    assert own_reader.postgres_password is not None
    insert(writer_settings, 1)
    with Running(own_reader, [things]) as running:
        until(lambda: keys(staged(things)) == [1])
        change_password(sandbox, own_reader, "other")
        until(lambda: bool(failures.read(own_reader.processor_failures)))
        insert(writer_settings, 2)
        change_password(sandbox, own_reader, own_reader.postgres_password.get_secret_value())
        until(lambda: keys(staged(things)) == [1, 2])
        until(lambda: not failures.read(own_reader.processor_failures))
    assert running.error is None


def test_one_cycle_names_every_source_that_fails(
    settings: Settings, things: Stream, chat_stream: Stream, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = settings.model_copy(
        update={"postgres_password": SecretStr("wrong"), "mongo_uri": SecretStr("mongodb://u:p@127.0.0.1:x/")}
    )
    with pytest.raises(SourceRefused) as raised:
        process_once(wrong, [things, chat_stream])
    said = str(raised.value) + capfd.readouterr().out
    assert "password authentication failed" in said
    assert "MONGO_URI" in said


@contextmanager
def behind_a_proxy(settings: Settings) -> Iterator[tuple[Settings, Proxy]]:
    """Connect to MongoDB through a proxy, with a limit of two seconds without an answer."""
    host, _, port = settings.mongo_conninfo.partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")
    with Proxy(int(port), host) as proxy:
        # Connect directly, because a replica set would tell the driver the member's own port.
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        yield settings.model_copy(update={"mongo_uri": SecretStr(uri), "stuck_after_sec": 2.0}), proxy


def test_a_mongo_operation_that_is_never_answered(
    settings: Settings,
    chat_stream: Stream,
    chats: Any,
    staged: Staged,
) -> None:
    with behind_a_proxy(settings) as (hanging, proxy), open_pipeline(hanging, [chat_stream]) as pipeline:
        insert_chat(chats, 1)
        assert run_cycle(pipeline).failures == {}
        insert_chat(chats, 2)
        proxy.arm(Strike(How.STALL, b"getMore", seconds=3600))
        found: list[Any] = []
        cycle = threading.Thread(target=lambda: found.append(run_cycle(pipeline)), daemon=True)
        cycle.start()
        cycle.join(60)
        assert found, "the cycle never ended"
        assert found[0].failures == {}
        assert len(staged(chat_stream)) == 2


def test_a_mongo_server_that_does_not_answer() -> None:
    said = r"does not answer: nothing came in time.*STUCK_AFTER_SEC"
    with pytest.raises(SourceUnavailable, match=said), translating_mongo("mongodb://127.0.0.1:1", "the documents"):
        raise NetworkTimeout("127.0.0.1:1: timed out")


def test_documents_are_read_again_once_the_server_answers(
    settings: Settings, writer_settings: Settings, things: Stream, chat_stream: Stream, chats: Any, staged: Staged
) -> None:
    with behind_a_proxy(settings) as (hanging, proxy):
        insert_chat(chats, 1)
        with Running(hanging, [chat_stream, things]) as running:
            until(lambda: len(staged(chat_stream)) == 1)
            proxy.arm(Strike(How.STALL, b"getMore", seconds=3600))
            insert_chat(chats, 2)
            insert(writer_settings, 1)
            until(lambda: len(staged(chat_stream)) == 2)
            until(lambda: keys(staged(things)) == [1])
    assert running.error is None


SECRET = "create table secret (n int); insert into secret values (1); revoke all on secret from adventure_reader; "

BAD_VIEWS = {
    "division by zero": ("", "(1 / (id - 2))"),
    "function f() does not exist": (
        "create schema app; create function app.f() returns int language sql as 'select 1';"
        " create function g() returns int language plpgsql as 'begin return f(); end'; ",
        "g()",
    ),
    "permission denied for table secret": (
        SECRET + "create function h() returns int language plpgsql as 'begin return (select n from secret); end'; ",
        "h()",
    ),
    "permission denied for function k": (
        "create function k() returns int language sql as 'select 1'; revoke execute on function k() from public; ",
        "k()",
    ),
}


@pytest.mark.parametrize("problem", BAD_VIEWS)
def test_a_view_that_fails_stops_its_own_stream_only(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged, problem: str
) -> None:
    made, computed = BAD_VIEWS[problem]
    view = "create {} view bad as select id, changed_at, {}::text as note from things"
    with writer(writer_settings) as connection:
        connection.execute((made + view.format("", computed)).encode())
        connection.execute("create view good as select * from things")
        connection.execute("grant select on bad, good to adventure_reader")
    bad = stream_of("bad", name="bad", stage="bad_stage", raw_table="raw_ext.bad")
    good = stream_of("good", name="good", stage="good_stage", raw_table="raw_ext.good")
    for key in (1, 2):
        insert(writer_settings, key)
    with open_pipeline(settings, [bad, things, good]) as pipeline:
        for key in (2, 3):
            insert(writer_settings, 1 + key)
            report = run_cycle(pipeline)
            assert list(report.failures) == ["bad"]
            assert list(report.refused) == ["bad"]
            sentence = str(report.failures["bad"])
            assert "stream bad: " in sentence
            assert problem in sentence
            assert ("set search_path" in sentence) == problem.startswith("function")
        until(lambda: not {"things", "good"} & set(run_cycle(pipeline).failures) and len(staged(things)) == 4)
        assert keys(staged(good)) == keys(staged(things)) == [1, 2, 3, 4]
        with writer(writer_settings) as connection:
            connection.execute(view.format("or replace", "id").encode())
        assert run_cycle(pipeline).failures == {}
        assert keys(staged(bad)) == [1, 2, 3, 4]


def test_the_processor_continues_beside_a_view_that_fails(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    with writer(writer_settings) as connection:
        connection.execute("create view bad as select id, changed_at, (1 / (id - 2))::text as note from things")
        connection.execute("grant select on bad to adventure_reader")
    bad = stream_of("bad", name="bad", stage="bad_stage", raw_table="raw_ext.bad")
    with Running(settings, [bad, things]) as running:
        for key in (1, 2, 3):
            insert(writer_settings, key)
            until(lambda number=key: len(staged(things)) == number)  # type: ignore[misc]
    assert running.error is None


def test_a_stream_that_refers_to_one_that_fails_waits(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    with writer(writer_settings) as connection:
        connection.execute("create view bad as select id, changed_at, (1 / (id - 2))::text as note from things")
        connection.execute("create view lines as select id as line, id, changed_at from things")
        connection.execute("grant select on bad, lines to adventure_reader")
    bad = stream_of("bad", name="bad", stage="bad_stage", raw_table="raw_ext.bad")
    lines = stream_of(
        "lines",
        name="lines",
        key=("line",),
        stage="lines_stage",
        raw_table="raw_ext.lines",
        references={"bad": ("id",)},
    )
    insert(writer_settings, 2)
    with open_pipeline(settings, [bad, lines, things]) as pipeline:
        report = run_cycle(pipeline)
        assert "division by zero" in str(report.failures["bad"])
        assert "waits for bad" in str(report.failures["lines"])
        assert "things" not in report.failures
        assert staged(lines) == []
