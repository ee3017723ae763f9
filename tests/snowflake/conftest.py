from collections.abc import Iterator

import psycopg
import pytest
from pydantic import SecretStr

from adventure.connect_snowflake import connect_snowflake
from adventure.settings import Settings
from tests.snowflake import account
from tests.snowflake.account import create_tables
from tests.snowflake.procedure import Session


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
