"""Fixtures with real servers: started once per worker, with separate databases for each test."""

import itertools
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo import history
from adventure.demo.generator.schema import create_tables
from adventure.demo.sandbox import Sandbox, process
from adventure.demo.sandbox.databases import Databases, create_databases
from adventure.destinations.common import dbt_command
from adventure.sources.postgres import reader
from adventure.sources.postgres.copy import CopySession
from adventure.sources.postgres.copy_session import open_copy_session
from adventure.sources.postgres.horizon import MARGIN
from tests import leftovers
from tests.parsed import parse_once
from tests.shared import made_once, shared_folder
from tests.tiers import in_order, mark

if TYPE_CHECKING:
    from tests.snowflake.emulator import Emulator
    from tests.workers import ByFile

ROOT = Path(__file__).parent.parent
_numbers = itertools.count(1)

# Use the same examples in every run, so that failures are due to changes. `--hypothesis-profile=search` draws new ones.
# No limits on time or size: an example is often a window through real servers.
for name, same in (("same", True), ("search", False)):
    hypothesis_settings.register_profile(
        name,
        derandomize=same,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
        ],
    )
hypothesis_settings.load_profile("same")

# A script's background job ignores Ctrl-C, and so would the commands that tests start in it and interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test its tier, and start the longest files first."""
    for item in items:
        mark(item)
    items.sort(key=in_order)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "ByFile":
    """Keep the tests that share a costly fixture in one worker."""
    from tests.workers import ByFile

    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the servers of killed workers after all workers have exited."""
    if not hasattr(session.config, "workerinput"):
        # pytest has removed the folder if every test passed; then no worker was killed.
        leftovers.stop(session.config._tmp_path_factory.getbasetemp() / "shared" / "servers")  # type: ignore[attr-defined]


@pytest.fixture(scope="session", autouse=True)
def _session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Synthesise each history and parse the dbt project once per session, and record the servers that tests start.

    A history depends only on its seed, so each test gets a copy of the same files.
    """
    shared, synthesise, invoke = shared_folder(tmp_path_factory), history.synthesise, dbt_command.invoke
    launch = process.launch

    def synthesise_once(folder: Path, *, seed: int) -> None:
        files = made_once(shared / f"history-{seed}", lambda made: synthesise(made, seed=seed))
        shutil.copytree(files, folder, dirs_exist_ok=True)

    def invoke_parsed(arguments: list[str], manifest: Any = None) -> Any:
        parse_once(shared / "parsed")
        return invoke(arguments, manifest)

    def launch_noted(*arguments: Any, **options: Any) -> Any:
        server = launch(*arguments, **options)
        leftovers.note(shared / "servers", server.pid)
        return server

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "launch", launch_noted)
        patch.setattr(history, "synthesise", synthesise_once)
        patch.setattr(dbt_command, "invoke", invoke_parsed)
        yield


@pytest.fixture(scope="session", autouse=True)
def _what_was_written_is_read() -> Iterator[None]:
    """Let what a test wrote before it opens a pipeline be older than the horizon's margin.

    `process_once` waits for that; a test that runs cycles in an open pipeline would read some rows a cycle later.
    """

    def open_later(*arguments: Any) -> CopySession:
        time.sleep(MARGIN.total_seconds())
        return open_copy_session(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "open_copy_session", open_later)
        yield


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Restore the log's output: a command run in this process leaves it on a stderr that is closed afterwards."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with tempfile.TemporaryDirectory(prefix="adventure-tests-", ignore_cleanup_errors=True) as folder:
        # For root, PostgreSQL runs as another user, who cannot enter pytest's folders.
        Path(folder).chmod(0o711)
        with Sandbox(Path(folder), durable=False) as running:
            yield running


@pytest.fixture(scope="session")
def template(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """Template databases with roles and empty source tables; PostgreSQL copies them for each test."""
    made = create_databases(sandbox, "template", mongo_db="template")
    create_tables(_settings(made.writer_env, tmp_path_factory.mktemp("template")))
    return made


@pytest.fixture
def databases(sandbox: Sandbox, template: Databases, tmp_path: Path) -> Iterator[Databases]:
    """Databases of this test only, with empty source tables."""
    number = next(_numbers)
    sales, state = f"sales_{number}", f"sales_{number}_state"
    with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
        for database, copied, owner in (
            (sales, "template", "sales_app"),
            (state, "template_state", "adventure_state"),
        ):
            # A copy of the files takes half the time of a copy through the log.
            made_from = f"template {copied} strategy file_copy owner {owner}"
            connection.execute(f"create database {database} {made_from}")  # type: ignore[arg-type]
        # A copied database keeps grants on its objects, but not grants on the database itself.
        connection.execute(f"grant connect on database {sales} to adventure_reader")  # type: ignore[arg-type]
    own = {
        "POSTGRES_DB": sales,
        "MONGO_DB": f"support_{number}",
        "STATE_DSN": sandbox.postgres.dsn(state, user="adventure_state", password=sandbox.password),
    }
    made = Databases(template.reader_env | own, template.writer_env | own)
    # This creates MongoDB's indexes; the template already has PostgreSQL's tables.
    create_tables(_settings(made.writer_env, tmp_path))
    yield made
    with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
        for database in (sales, state):
            connection.execute(f"drop database if exists {database} with (force)".encode())


@pytest.fixture
def settings(databases: Databases, tmp_path: Path) -> Settings:
    """Settings of the pipeline: the reader's role, the state database and a separate data folder."""
    return _settings(databases.reader_env, tmp_path)


@pytest.fixture
def writer_settings(databases: Databases, tmp_path: Path) -> Settings:
    """Settings of the shop's application, which can write."""
    return _settings(databases.writer_env, tmp_path)


@pytest.fixture
def streams(settings: Settings) -> tuple[Stream, ...]:
    return load_streams(settings)


def _settings(environment: dict[str, str], tmp_path: Path) -> Settings:
    overrides = {name.lower(): value for name, value in environment.items()}
    return load_settings(
        **overrides, data_dir=tmp_path / "adventure", pipeline_file=ROOT / "pipeline.toml", dbt_dir=ROOT / "dbt"
    )


@pytest.fixture
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working folder, in which commands of this process find default settings and the project's streams."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPELINE_FILE", str(ROOT / "pipeline.toml"))
    return tmp_path


@pytest.fixture(scope="session")
def emulator() -> Iterator["Emulator"]:
    from tests.snowflake.emulator import running_emulator

    with running_emulator() as running:
        yield running


@pytest.fixture
def snowflake_settings(emulator: "Emulator", tmp_path: Path) -> Settings:
    """Settings of the pipeline with WAREHOUSE=snowflake, with a database of this test only."""
    return emulator.new_database(f"adventure_{next(_numbers)}", tmp_path)
