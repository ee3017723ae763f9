"""Each problem is sent once when it begins and once when it ends, to real HTTP servers."""

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from adventure import cli
from adventure.cli import alert as alert_command
from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.monitoring.alerts import send
from adventure.monitoring.alerts.changes import Active, find_changes
from adventure.monitoring.alerts.send import Alerts, Sent
from adventure.monitoring.health.causes import in_order
from adventure.monitoring.health.problem import Problem
from adventure.tasks import watch
from adventure.tasks.watch import check_health, watching_health
from tests.waiting import until

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 1, 2, 12)
MINUTE = timedelta(minutes=1)
SECRET = "s3cr3t-t0ken"

DOWN = Problem("source_unavailable", "error", "PostgreSQL does not answer", "Start it", ("orders",), "postgres")
FAILING = Problem("processor_failing", "error", "orders: it is away", "Start it", ("orders",))
UNREAD = Problem("rows_unread", "error", "orders: rows wait", "Start it", ("orders",))
STUCK = Problem("processor_stuck", "warning", "The processor was last seen", "Start it")
REJECTED = Problem("rows_rejected", "warning", "chats: 1 row was rejected", "Fix it", ("chats",))


@dataclass
class Webhook:
    """A server that keeps what is posted to it."""

    port: int = 0
    status: int = 200
    got: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"json://user:{SECRET}@127.0.0.1:{self.port}/{SECRET}"

    def titles(self) -> list[str]:
        return [each["title"].removeprefix("Adventure: ") for each in self.got]


@contextmanager
def serving() -> Iterator[Webhook]:
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if hook.status == 200:
                hook.got.append(body)
            self.send_response(hook.status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield hook
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with serving() as hook:
        yield hook


Clock = Callable[[float], None]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Move the clock of the alerts forward by minutes."""
    now = [NOW]
    monkeypatch.setattr(send, "utc_now", lambda: now[0])

    def move(minutes: float) -> None:
        now[0] += minutes * MINUTE

    return move


@pytest.fixture
def alerting(hook: Webhook, tmp_path: Path) -> Settings:
    return load_settings(
        data_dir=tmp_path / "data", pipeline_file=ROOT / "pipeline.toml", alert_urls=SecretStr(hook.url)
    )


STEPS: dict[str, list[tuple[float, list[Problem], list[str]]]] = {
    "once when it begins, once when it ends": [
        (0, [DOWN], ["began source_unavailable"]),
        (1, [DOWN], []),
        (60, [DOWN], []),
        (61, [], []),
        (71, [], ["ended source_unavailable"]),
        (72, [], []),
        (73, [DOWN], ["began source_unavailable"]),
    ],
    "flapping": [
        (minute, [DOWN] * (minute % 2 == 0), ["began source_unavailable"] * (minute == 0)) for minute in range(40)
    ],
    "a cause covers its consequences": [
        (0, [DOWN, FAILING], ["began source_unavailable", "began processor_failing"]),
        (1, [DOWN, FAILING, UNREAD], []),
        (2, [FAILING, UNREAD], []),
        (3, [], []),
        (13, [], ["ended source_unavailable"]),
    ],
    "a consequence that outlives its cause": [
        (0, [DOWN], ["began source_unavailable"]),
        (1, [DOWN, UNREAD], []),
        (2, [UNREAD], []),
        (11, [UNREAD], ["began rows_unread", "ended source_unavailable"]),
    ],
    "a warning that becomes an error": [
        (0, [STUCK], ["began processor_stuck"]),
        (1, [replace(STUCK, severity="error")], ["began processor_stuck"]),
        (2, [STUCK], []),
        (3, [replace(STUCK, severity="error")], ["began processor_stuck"]),
        (13, [], ["ended processor_stuck"]),
    ],
    "another stream of the same failure": [
        (0, [FAILING], ["began processor_failing"]),
        (1, [replace(FAILING, streams=("orders", "order_details"))], []),
    ],
    "the same kind elsewhere": [
        (0, [REJECTED], ["began rows_rejected"]),
        (1, [REJECTED, replace(REJECTED, streams=("orders",))], ["began rows_rejected"]),
    ],
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_changes(steps: list[tuple[float, list[Problem], list[str]]]) -> None:
    active: tuple[Active, ...] = ()
    for minute, problems, expected in steps:
        found = find_changes(active, in_order(problems), NOW + minute * MINUTE)
        active = found.active
        assert [
            *(f"began {each.kind}" for each in found.began),
            *(f"ended {each.problem.kind}" for each in found.ended),
        ] == expected, minute


def test_a_kind_that_the_caller_cannot_see_does_not_end() -> None:
    overdue = Problem("tasks_overdue", "error", "The tasks last ran 1 hour ago", "Start it")
    active = find_changes((), [overdue], NOW).active
    assert find_changes(active, [], NOW + 60 * MINUTE, {"tasks_overdue"}) == find_changes(active, [], NOW)
    assert find_changes(active, [], NOW + 60 * MINUTE).ended == active


def test_a_message_says_what_follows_and_what_fixes_it(alerting: Settings, hook: Webhook, later: Clock) -> None:
    assert Alerts(alerting).send(in_order([DOWN, UNREAD])) == Sent(began=1)
    later(1)
    # Another process: a restart.
    assert Alerts(alerting).send(in_order([DOWN, UNREAD])) == Sent()
    later(20)
    assert Alerts(alerting).send([]) == Sent(ended=1)
    assert [(each["title"], each["type"], each["message"]) for each in hook.got] == [
        (
            "Adventure: PostgreSQL does not answer",
            "failure",
            "Problem: PostgreSQL does not answer.\n  Fix: Start it. (docs/operations.md#source_unavailable)\n"
            "  Therefore: orders: rows wait.",
        ),
        (
            "Adventure: Ended: PostgreSQL does not answer",
            "success",
            "Ended after 1 minute, at 2026-01-02 12:01 UTC: PostgreSQL does not answer.",
        ),
    ]


def test_many_problems_at_once_are_one_message(alerting: Settings, hook: Webhook) -> None:
    assert Alerts(alerting).send([DOWN, REJECTED]) == Sent(began=2)
    assert hook.titles() == ["2 problems began"]


def test_what_is_not_accepted_is_sent_later_in_its_order_and_nothing_else_waits(
    alerting: Settings,
    hook: Webhook,
    later: Clock,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What a program sees that logs everything.
    logged = io.StringIO()
    monkeypatch.setattr(logging.root, "handlers", [logging.StreamHandler(logged)])
    monkeypatch.setattr(logging.root, "level", logging.DEBUG)
    with serving() as other:
        both = alerting.model_copy(update={"alert_urls": SecretStr(f"{hook.url} {other.url}")})
        hook.status = 500
        assert Alerts(both).send([DOWN]) == Sent(began=1, unsent=1)
        later(20)
        assert Alerts(both).send([]) == Sent(ended=1, unsent=2)
        hook.status = 200
        later(1)
        assert Alerts(both).send([]) == Sent()
        later(1)
        Alerts(both).send([])
        assert hook.titles() == other.titles() == [DOWN.sentence, f"Ended: {DOWN.sentence}"]
    # A server that is not there at all.
    assert Alerts(alerting.model_copy(update={"alert_urls": SecretStr(other.url)})).send([DOWN]).unsent == 1
    written = "".join((*capsys.readouterr(), logged.getvalue(), (alerting.alerts_path).read_text()))
    assert "was not sent to URL 1 (json): the service answered 500" in written
    assert "was not sent to URL 1 (json): the service cannot be reached" in written
    assert SECRET not in written


def test_a_message_is_given_up_after_a_day(alerting: Settings, hook: Webhook, later: Clock) -> None:
    hook.status = 500
    assert Alerts(alerting).send([DOWN]).unsent == 1
    later(25 * 60)
    assert Alerts(alerting).send([DOWN]).unsent == 0


def test_a_folder_that_cannot_be_written_repeats_nothing(alerting: Settings, hook: Webhook) -> None:
    alerting.data_dir.write_text("a file")
    alerts = Alerts(alerting)
    assert [alerts.send([DOWN]).began for _ in range(3)] == [1, 0, 0]
    assert hook.titles() == [DOWN.sentence]


@pytest.mark.parametrize("url", [f"nonsense://{SECRET}", SECRET, "slack://"])
def test_a_url_that_cannot_be_used_is_named_by_its_position(
    alerting: Settings, hook: Webhook, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = alerting.model_copy(update={"alert_urls": SecretStr(f"{hook.url} {url}")})
    with pytest.raises(ConfigError, match=r"ALERT_URLS: URL 2 .* is none that Apprise can use") as caught:
        Alerts(wrong)
    assert SECRET not in str(caught.value) + "".join(capfd.readouterr())


def test_the_watch_sends_and_goes_on_when_it_cannot(
    alerting: Settings, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = alerting.model_copy(update={"postgres_port": 1})
    monkeypatch.setattr(watch, "FIRST_AFTER_SEC", 0.01)
    monkeypatch.setattr(watch, "INTERVAL_SEC", 0.01)
    looks: list[int] = []
    hook.status = 500
    with watching_health(away, load_streams(away)[:1], [lambda problems: looks.append(len(problems))]):
        until(lambda: len(looks) >= 2)
        hook.status = 200
        until(lambda: bool(hook.got))
        seen = len(looks)
        until(lambda: len(looks) >= seen + 2)
    assert len(hook.got) == 1
    assert "PostgreSQL" in hook.got[0]["message"]


def test_the_command_looks_once(alerting: Settings, hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    away = alerting.model_copy(update={"postgres_port": 1})
    streams: tuple[Stream, ...] = load_streams(away)[:1]
    monkeypatch.setattr(alert_command, "pipeline_of", lambda _context: (away, streams))

    def run(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli.app, ["alert", *options])
        return done.exit_code, done.output.splitlines()[-1]

    hook.status = 500
    assert run() == (1, "1 problems began, 0 ended, 1 messages were not accepted")
    hook.status = 200
    assert run() == (0, "0 problems began, 0 ended, 0 messages were not accepted")
    check_health(away, streams, [Alerts(away).send])
    assert len(hook.got) == 1, "the task server knows what the command sent"


def test_the_command_tests_each_url(alerting: Settings, hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = alerting.model_copy(update={"alert_urls": SecretStr(f"{hook.url} json://127.0.0.1:1/{SECRET}")})
    monkeypatch.setattr(alert_command, "pipeline_of", lambda _context: (settings, ()))
    done = CliRunner().invoke(cli.app, ["alert", "--test"])
    assert (done.exit_code, done.output.splitlines()) == (
        1,
        ["URL 1 (json): accepted", "URL 2 (json): not accepted: the service cannot be reached"],
    )
    assert hook.titles() == ["test"]
    settings = alerting
    assert CliRunner().invoke(cli.app, ["alert", "--test"]).exit_code == 0
    settings = alerting.model_copy(update={"alert_urls": None})
    assert "ALERT_URLS is not set" in str(CliRunner().invoke(cli.app, ["alert", "--test"]).exception)
