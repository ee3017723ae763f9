"""The tables, the collection and their indexes."""

import re
from pathlib import Path

from adventure.core.connect import connect_postgres, translating_postgres
from adventure.core.settings import Settings
from adventure.sources.mongo.connect import connect_mongo, translating_mongo

# `if not exists` waits for whoever writes to the table, even where there is nothing to do.
_ARE_MISSING = "select bool_or(to_regclass(name) is null) from unnest(%s::text[]) as name"

TABLES = Path(__file__).with_name("tables.sql").read_text(encoding="utf-8")


def create_tables(settings: Settings) -> None:
    """Makes what is missing; running it again changes nothing.

    Raises:
        SourceError: a database does not answer, or refuses.
    """
    conninfo = settings.postgres_dsn
    connection = connect_postgres(conninfo, name="the sales database")
    with connection, translating_postgres(conninfo, "the sales database"):
        names = re.findall(r"create (?:table|index) if not exists (\w+)", TABLES)
        if connection.execute(_ARE_MISSING, [names]).fetchone() == (True,):
            connection.execute(TABLES)
    uri = settings.mongo_conninfo
    with connect_mongo(uri, name="the chats database") as client, translating_mongo(uri, "the chats database"):
        chats = client[settings.mongo_db][settings.mongo_collection]
        chats.create_index("last_modified")
        chats.create_index("ticket_status")
