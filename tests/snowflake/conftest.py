from collections.abc import Iterator

import psycopg
import pytest
from pydantic import SecretStr

from adventure.core.settings import Settings
from adventure.demo.sandbox import Sandbox
from adventure.destinations.snowflake.session import connect_snowflake
from tests.snowflake import account
from tests.snowflake.account import create_tables
from tests.snowflake.emulator import Emulator
from tests.snowflake.pair import Pair, built_pair
from tests.snowflake.procedure import Session


@pytest.fixture(scope="session")
def pair(sandbox: Sandbox, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The same sales in both warehouses, built twice: about two minutes, once for all tests that compare."""
    with built_pair(sandbox, emulator, tmp_path_factory.mktemp("parity")) as made:
        yield made


@pytest.fixture
def session(snowflake_settings: Settings) -> Iterator[Session]:
    """A database with what 2_raw_tables.sql makes."""
    create_tables(snowflake_settings)
    with connect_snowflake(snowflake_settings) as connection:
        yield Session(connection)


@pytest.fixture
def on_snowflake(settings: Settings, snowflake_settings: Settings) -> Settings:
    """The same sources, another warehouse, and watermarks of its own."""
    with psycopg.connect(settings.state_conninfo, autocommit=True) as connection:
        connection.execute("create schema second")
    state = SecretStr(f"{settings.state_conninfo} options='-c search_path=second'")
    return account.with_sources(snowflake_settings, settings).model_copy(update={"state_dsn": state})
