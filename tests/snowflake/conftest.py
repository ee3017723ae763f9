from collections.abc import Iterator
from pathlib import Path

import pytest
from snowflake.connector import SnowflakeConnection

from adventure.connect_snowflake import connect_snowflake
from adventure.settings import Settings
from adventure.warehouse.snowflake.scripts import split
from tests.snowflake.procedure import Session

TABLES = Path(__file__).parents[2] / "snowflake" / "2_raw_tables.sql"


def make_raw_tables(connection: SnowflakeConnection) -> None:
    """What 2_raw_tables.sql makes; streams on stages, which the emulator lacks, as tables."""
    for statement in split(TABLES.read_text(encoding="utf-8")):
        if statement.startswith(("create stage", "create table")):
            connection.cursor().execute(statement)
        elif statement.startswith("create stream"):
            connection.cursor().execute(f"create table {statement.split()[5]} (relative_path varchar)")


@pytest.fixture
def session(snowflake_settings: Settings) -> Iterator[Session]:
    """A database with the raw tables."""
    with connect_snowflake(snowflake_settings) as connection:
        make_raw_tables(connection)
        yield Session(connection)
