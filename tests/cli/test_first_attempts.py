"""What goes wrong at a first attempt is one good sentence without a traceback, with the right exit code."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from filelock import FileLock

from adventure.core import connect as connecting
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import Databases
from adventure.demo.sandbox.process import free_port
from adventure.destinations.duckdb.connection import connect
from adventure.processor.run import open_pipeline
from tests.program import run_program

ROOT = Path(__file__).parent.parent.parent
AGAIN = "Interrupted. Run the command again: it repeats what was half done."


@pytest.fixture
def attempt(empty_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Callable[..., tuple[int, str]]:
    """Return a function that runs a command in this process as the program does: exit code, and what it said last."""
    monkeypatch.setattr(connecting, "RETRY_FOR_SEC", 0.0)
    monkeypatch.setenv("COLUMNS", "200")

    def run(command: str, **environment: str) -> tuple[int, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        done = run_program(command.split(), capfd)
        assert "Traceback" not in done.err
        assert "pydantic" not in done.err
        return done.code, done.sentence

    return run


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


CASES = [
    ("wrong folder", "process", {"PIPELINE_FILE": "pipeline.tml"}, "The pipeline file pipeline.tml does not exist"),
    ("no .env", "status --env prod.env", {}, "The settings file prod.env does not exist. Give --env a file"),
    ("bad value", "status", {"POSTGRES_PORT": "many"}, "POSTGRES_PORT must be a whole number (from the environment)"),
    ("bad TOML", "status", {"PIPELINE_FILE": "bad.toml"}, "bad.toml is not valid TOML: "),
    ("no such stream", "rejects refunds", {}, "There is no stream named refunds. Choose one of: orders"),
    ("database down", "process", {"POSTGRES_PORT": "{closed}"}, "The state database (PostgreSQL at localhost:"),
    ("port taken", "dashboard", {"DASHBOARD_PORT": "{taken}"}, "which DASHBOARD_PORT names, is already in use. Set"),
    ("port of metrics taken", "process", {"METRICS_PORT": "{taken}", "PROCESSOR_INTERVAL_SEC": "1"}, "METRICS_PORT"),
    ("no folder", "load", {"DATA_DIR": "/dev/null"}, "The warehouse's folder /dev/null cannot be written: "),
    ("no permission", "load", {"DATA_DIR": "/proc/adventure"}, "Check its permissions, or set DATA_DIR to another"),
    ("no permission", "demo --once", {"DATA_DIR": "/proc/adventure"}, "Set DATA_DIR to a folder that this user can"),
    ("nothing built", "check", {}, "There is nothing to check yet"),
    (
        "nothing built",
        "query from_sales",
        {},
        "Nothing is published at .adventure/dashboard.duckdb. Run ",
    ),
]


@pytest.mark.parametrize(
    ("command", "environment", "sentence"), [case[1:] for case in CASES], ids=[f"{c[0]}: {c[1]}" for c in CASES]
)
def test_a_first_attempt_that_fails_says_why_and_what_to_do(
    attempt: Callable[..., tuple[int, str]], taken: int, command: str, environment: dict[str, str], sentence: str
) -> None:
    Path("bad.toml").write_text("[[streams]\nname =")
    ports = {"taken": taken, "closed": free_port(None)}
    code, said = attempt(command, **{name: value.format(**ports) for name, value in environment.items()})
    assert (code, sentence in said) == (1, True), said


def test_status_says_what_it_cannot_read_in_a_folder_that_is_a_file(attempt: Callable[..., tuple[int, str]]) -> None:
    code, said = attempt("status -q", DATA_DIR="/dev/null", POSTGRES_PORT=str(free_port(None)))
    assert (code, said) == (0, "")


def test_in_a_folder_without_settings_a_warning_says_so(
    attempt: Callable[..., tuple[int, str]], empty_folder: Path
) -> None:
    code, said = attempt("stage list -q")
    assert (code, f"there is no .env in {empty_folder}, so databases" in said) == (0, True)
    assert attempt("stage list -q", DATA_DIR="data") == (0, "")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"POSTGRES_PASSWORD": "wrong"}, "password authentication failed"),
        ({"POSTGRES_DB": "nowhere"}, "nowhere"),
        (
            {"POSTGRES_USER": "clerk", "POSTGRES_PASSWORD": "x"},
            "the role clerk may not read public.orders. grant select",
        ),
    ],
    ids=["wrong password", "no such database", "a role without grants"],
)
def test_what_the_server_refuses_is_said_with_the_role(
    attempt: Callable[..., tuple[int, str]],
    sandbox: Sandbox,
    databases: Databases,
    change: dict[str, str],
    sentence: str,
) -> None:
    with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
        connection.execute("drop role if exists clerk")
        connection.execute("create role clerk login password 'x'")
    code, said = attempt("process", **(databases.reader_env | change))
    assert code == 1
    assert sentence in said, said


def test_two_demos_and_two_processors_at_once(
    attempt: Callable[..., tuple[int, str]], settings: Settings, streams: tuple[Stream, ...], databases: Databases
) -> None:
    with FileLock(Path(".adventure/demo.lock").resolve()):
        assert attempt("demo --once") == (
            1,
            f"Another demo is using {Path('.adventure').resolve()}. Stop it first, or set DATA_DIR to another folder.",
        )
    with open_pipeline(settings, streams):
        code, said = attempt("process", **databases.reader_env)
    assert (code, "Another processor" in said) == (1, True), said


@pytest.mark.parametrize(
    ("command", "environment", "waits_for", "expected"),
    [
        ("process", {"POSTGRES_PORT": "1"}, "Trying again.", (130, AGAIN)),
        ("process", {"POSTGRES_PORT": "1", "PROCESSOR_INTERVAL_SEC": "5"}, "Trying again.", (0, "Stopped")),
        ("load", {}, "{locked}", (130, AGAIN)),
        ("tasks serve --every 1h", {}, "tasks: every", (0, "Stopped")),
        ("build --full-refresh", {}, "{built}", (130, AGAIN)),
    ],
    ids=["process", "process for ever", "load", "tasks serve", "build"],
)
@pytest.mark.slow
def test_ctrl_c_ends_each_phase_with_a_sentence(
    empty_folder: Path, command: str, environment: dict[str, str], waits_for: str, expected: tuple[int, str]
) -> None:
    """tests/cli/test_dashboard.py has the dashboard, and tests/e2e/test_demo.py the demo."""
    clean = os.environ | {"DATA_DIR": str(empty_folder / "data"), "LOG_FORMAT": "text"} | environment
    errors = empty_folder / "errors.txt"
    with connect(empty_folder / "data" / "warehouse.duckdb") if waits_for == "{locked}" else _nothing():
        with errors.open("w") as output:
            running = subprocess.Popen(
                [sys.executable, "-m", "adventure", command.split()[0], *command.split()[1:], "-v"],
                env=clean,
                stdout=output,
                stderr=output,
            )
        try:
            deadline = time.monotonic() + 180  # A build takes long to begin on a busy machine.
            while not _is_at(errors.read_text(), waits_for) and running.poll() is None:
                assert time.monotonic() < deadline, errors.read_text()
                time.sleep(0.1)
            running.send_signal(signal.SIGINT)
            code = running.wait(timeout=60)
        finally:
            running.kill()
    said = errors.read_text()
    assert "Traceback" not in said
    # dbt clears its progress with blanks.
    assert (code, expected[1] in said.strip().splitlines()[-1]) == (expected[0], True), said


def _is_at(said: str, place: str) -> bool:
    return {"{locked}": "streams: ", "{built}": "models and tests done"}.get(place, place) in said


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()
