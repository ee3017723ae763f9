"""Create the generator's tables, collection and indexes."""

import re
from pathlib import Path

from adventure.core.connect import connect_postgres, translating_postgres
from adventure.core.settings import Settings
from adventure.sources.mongo.connect import connect_mongo, translating_mongo

# Check first: `create … if not exists` waits for open writes to the table even if the table exists.
_ARE_MISSING = "select bool_or(to_regclass(name) is null) from unnest(%s::text[]) as name"

TABLES = Path(__file__).with_name("tables.sql").read_text(encoding="utf-8")


def create_tables(settings: Settings) -> None:
    """Create the missing tables and indexes.

    Raises:
        SourceError: a database is unavailable or refuses the connection.
    """
    conninfo = settings.postgres_dsn
    connection = connect_postgres(conninfo, name="the sales database")
    with connection, translating_postgres(conninfo, "the sales database"):
        names = re.findall(r"create (?:table|index) if not exists ([\w.]+)", TABLES)
        if connection.execute(_ARE_MISSING, [names]).fetchone() == (True,):
            connection.execute(TABLES)
    uri = settings.mongo_conninfo
    with connect_mongo(uri, name="the chats database") as client, translating_mongo(uri, "the chats database"):
        chats = client[settings.mongo_db][settings.mongo_collection]
        chats.create_index("last_modified")
        chats.create_index("ticket_status")
