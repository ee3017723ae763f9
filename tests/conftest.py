"""Real servers for every test that needs one: started once, with databases of its own for each test."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from adventure.core.settings import Settings, load_settings
from adventure.core.streams import Stream, load_streams
from adventure.demo.generator.schema import create_tables
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import Databases, create_databases

if TYPE_CHECKING:
    from tests.snowflake.emulator import Emulator

ROOT = Path(__file__).parent.parent
_numbers = itertools.count(1)

# The same examples in every run: what fails was changed, not drawn. `--hypothesis-profile=search` draws new ones.
# An example is often a window through real servers, so how long it takes or how large it is says nothing.
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


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command that a test runs in this process sends the log to a stderr that is closed when it ends."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture
def databases(sandbox: Sandbox, tmp_path: Path) -> Databases:
    """Databases that no other test sees, with the source tables in them, empty."""
    number = next(_numbers)
    made = create_databases(sandbox, f"sales_{number}", mongo_db=f"support_{number}")
    create_tables(_settings(made.writer_env, tmp_path))
    return made


@pytest.fixture
def settings(databases: Databases, tmp_path: Path) -> Settings:
    """As the pipeline: the reader's role, the state's database, a data folder of the test's own."""
    return _settings(databases.reader_env, tmp_path)


@pytest.fixture
def writer_settings(databases: Databases, tmp_path: Path) -> Settings:
    """As the application that sells."""
    return _settings(databases.writer_env, tmp_path)


@pytest.fixture
def streams(settings: Settings) -> tuple[Stream, ...]:
    return load_streams(settings)


def _settings(environment: dict[str, str], tmp_path: Path) -> Settings:
    overrides = {name.lower(): value for name, value in environment.items()}
    return load_settings(
        **overrides, data_dir=tmp_path / "adventure", pipeline_file=ROOT / "pipeline.toml", dbt_dir=ROOT / "dbt"
    )


@pytest.fixture(scope="session")
def emulator() -> Iterator["Emulator"]:
    from tests.snowflake.emulator import running_emulator

    with running_emulator() as running:
        yield running


@pytest.fixture
def snowflake_settings(emulator: "Emulator", tmp_path: Path) -> Settings:
    """As the pipeline with WAREHOUSE=snowflake: a database that no other test sees, with the schemas of the setup."""
    return emulator.new_database(f"adventure_{next(_numbers)}", tmp_path)
