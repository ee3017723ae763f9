from collections.abc import Iterator

import pytest

from adventure.connect_snowflake import connect_snowflake
from adventure.settings import Settings
from tests.snowflake.account import create_tables
from tests.snowflake.procedure import Session


@pytest.fixture
def session(snowflake_settings: Settings) -> Iterator[Session]:
    """A database with what 2_raw_tables.sql makes."""
    create_tables(snowflake_settings)
    with connect_snowflake(snowflake_settings) as connection:
        yield Session(connection)
