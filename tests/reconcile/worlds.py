"""A source table or collection with arbitrary changes, and its rows in a warehouse.

The SQL that changes rows of the warehouse works on both DuckDB and Snowflake.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import cached_property
from typing import Any

import orjson
import psycopg
import pymongo
from bson import ObjectId

from adventure.core.key_kinds import joined_key
from adventure.core.manifest import CURSOR_TEXT
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.warehouse import Warehouse
from adventure.factory import open_stage, open_warehouse
from adventure.reconcile.run import Report, reconcile

Latest = dict[str, tuple[datetime | None, str]]
"""Cursor and note of each key."""

META = ("_file", "_file_row", "_loaded_at", "_deleted_at")


@dataclass
class Change:
    """A change to a key after the first load."""

    key: tuple[str, ...]
    before: datetime | None
    """The cursor when it was loaded; None if the key did not exist."""
    now: datetime | None
    """The cursor at the source now; None if the row is deleted."""
    held: str
    """The state of its rows in the warehouse: kept, lost, doubled (with an older version) or older (only that left)."""
    nulled: bool = False
    """Whether the row at the source loses its cursor."""

    @property
    def held_cursor(self) -> datetime | None:
        if self.before is None or self.held == "lost":
            return None
        return self.before - timedelta(seconds=1) if self.held == "older" else self.before

    @property
    def verdict(self) -> str | None:
        held = self.held_cursor
        if self.now is None:
            return "deleted" if held else None
        if self.nulled:
            return "unusable"
        if held is None:
            return "missing"
        return None if held == self.now else "stale" if held < self.now else "behind"


@dataclass
class World:
    """A source table or collection, its stream, and the warehouse."""

    settings: Settings
    writer: Settings
    stream: Stream

    @cached_property
    def warehouse(self) -> Warehouse:
        return open_warehouse(self.settings)

    def run(self, **options: Any) -> Report:
        ((report),) = reconcile(self.settings, [self.stream], **options)
        return report

    def load(self) -> None:
        self.warehouse.load(self.stream)

    def forget(self) -> None:
        """Reset the warehouse as if nothing had been loaded, and delete the watermarks."""
        with psycopg.connect(self.settings.state_conninfo, autocommit=True) as state:
            state.execute("drop table if exists adventure_watermarks")
        self.warehouse.execute(f"drop table if exists {self.stream.raw_table}")
        for table in ("load_history", "rejected_rows"):
            self.warehouse.execute(f"delete from raw_ext.{table}")
        stage = open_stage(self.settings)
        for window in stage.windows(self.stream.stage):
            stage.remove(window)

    def quoted(self, name: str) -> str:
        """Return a quoted column name. Snowflake's are in upper case."""
        return '"' + (name.upper() if self.settings.warehouse == "snowflake" else name).replace('"', '""') + '"'

    def latest_of(self, rows: Sequence[tuple[str, datetime | None, str, Any, Any, Any]]) -> Latest:
        """Return the latest version of each key, chosen as in the models.

        Args:
            rows: key, cursor, note, `_loaded_at`, `_file` and `_deleted_at`.
        """
        found = {}
        for row in sorted(rows, key=lambda row: (row[1] or datetime.min, row[3], row[4])):
            found[row[0]] = row
        return {key: (row[1], row[2]) for key, row in found.items() if row[5] is None}


HOSTILE = Stream(
    name="hostile",
    source="postgres",
    namespace='s"1',
    table="t%s 'x'",
    cursor='c"%',
    key=("k 1", "%k2"),
    stage="hostile_stage",
    raw_table="raw_ext.hostile_raw",
)


class Table(World):
    """A table with a hostile name, a key of two columns and a timestamptz."""

    def put(self, key: tuple[str, ...], cursor: datetime | None, note: str = "") -> None:
        with psycopg.connect(self.writer.postgres_dsn, autocommit=True) as connection:
            connection.execute(
                f"""
                insert into {HOSTILE_TABLE} values (%s, %s, %s, %s)
                on conflict ("k 1", "%%k2") do update set "c""%%" = excluded."c""%%", note = excluded.note
                """,  # type: ignore[arg-type]
                [*key, cursor.replace(tzinfo=UTC) if cursor else None, note],
            )

    def delete(self, key: tuple[str, ...]) -> None:
        with psycopg.connect(self.writer.postgres_dsn, autocommit=True) as connection:
            connection.execute(f'delete from {HOSTILE_TABLE} where "k 1" = %s and "%%k2" = %s', key)  # type: ignore[arg-type]

    def clear(self) -> None:
        self.forget()
        with psycopg.connect(self.writer.postgres_dsn, autocommit=True) as connection:
            connection.execute("truncate " + HOSTILE_TABLE.replace("%%", "%"))  # type: ignore[arg-type]

    def source(self) -> dict[str, tuple[datetime | None, str]]:
        with psycopg.connect(self.writer.postgres_dsn) as connection:
            query = """select "k 1", trim_scale("%k2")::text, "c""%" at time zone 'utc', note from """
            rows = connection.execute(query + HOSTILE_TABLE.replace("%%", "%")).fetchall()  # type: ignore[arg-type]
        return {joined_key(row[:2]): row[2:] for row in rows}

    def latest(self) -> Latest:
        columns = ", ".join(map(self.quoted, ("k 1", "%k2", 'c"%', "note")))
        rows = self.warehouse.execute(f"select {columns}, _loaded_at, _file, _deleted_at from raw_ext.hostile_raw")
        return self.latest_of([(joined_key([row[0], f"{row[1].normalize():f}"]), *row[2:]) for row in rows])

    def canonical(self, key: tuple[str, ...]) -> str:
        """Return the key as both sides write it: numerics without trailing zeros."""
        return joined_key((key[0], key[1].rstrip("0").rstrip(".") if "." in key[1] else key[1]))

    def damage(self, change: Change) -> None:
        one, two, cursor, note = map(self.quoted, ("k 1", "%k2", 'c"%', "note"))
        where = f"{one} = ? and {two} = cast(? as decimal(9, 3))"
        if change.held == "lost":
            self.warehouse.execute(f"delete from raw_ext.hostile_raw where {where}", change.key)
        if change.held == "older":
            self.warehouse.execute(
                f"update raw_ext.hostile_raw set {cursor} = {cursor} - interval '1 second' where {where}", change.key
            )
        if change.held == "doubled":
            others = ", ".join((one, two, note, *META))
            self.warehouse.execute(
                f"insert into raw_ext.hostile_raw ({others}, {cursor})"
                f" select {others}, {cursor} - interval '1 hour' from raw_ext.hostile_raw where {where}",
                change.key,
            )


HOSTILE_TABLE = '"s""1"."t%%s \'x\'"'


def make_hostile_table(writer: Settings) -> None:
    with psycopg.connect(writer.postgres_dsn, autocommit=True) as connection:
        connection.execute('create schema "s""1"')
        connection.execute('grant usage on schema "s""1" to adventure_reader')
        connection.execute(
            f'create table {HOSTILE_TABLE} ("k 1" text, "%%k2" numeric(9, 3), "c""%%" timestamptz, note text,'
            ' primary key ("k 1", "%%k2"))'.replace("%%", "%")  # type: ignore[arg-type]
        )
        connection.execute('grant select on all tables in schema "s""1" to adventure_reader')


CHATS = Stream(
    name="chats",
    source="mongo",
    namespace="",
    table="chats",
    cursor='at "it\'s"',
    key=("_id",),
    stage="chats_stage",
    raw_table="raw_ext.chats_raw",
)

IDS = {
    "6530000000000000000000aa": ObjectId("6530000000000000000000aa"),
    "text": "text",
    "7": 7,
    '{"a":{"$numberInt":"1"}}': {"a": 1},
    "mark": "mark",
}


class Documents(World):
    """A collection with keys of several types, some with a text cursor."""

    @property
    def collection(self) -> Any:
        return pymongo.MongoClient(self.writer.mongo_conninfo)[self.stream.namespace][self.stream.table]

    def put(self, key: tuple[str, ...], cursor: datetime | None, note: str = "") -> None:
        # MongoDB keeps milliseconds.
        value: Any = cursor
        if cursor and key[0] == "7":
            value = cursor.isoformat()
        if cursor and key[0] == "text":
            # A format that not every warehouse can parse.
            value = cursor.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=-7))).strftime("%Y%m%dT%H%M%S.%f%z")
        document = {"note": note} | ({} if cursor is None else {self.stream.cursor: value})
        self.collection.replace_one({"_id": IDS[key[0]]}, document, upsert=True)

    def delete(self, key: tuple[str, ...]) -> None:
        self.collection.delete_one({"_id": IDS[key[0]]})

    def clear(self) -> None:
        self.forget()
        self.collection.delete_many({})

    def canonical(self, key: tuple[str, ...]) -> str:
        return key[0]

    @staticmethod
    def key_of(raw: dict[str, Any]) -> str:
        """Return the key's text in a staged document."""
        return str(raw.get("_adventure_key", raw)["_id"])

    def source(self) -> dict[str, tuple[datetime | None, str]]:
        texts = {repr(value): text for text, value in IDS.items()}
        return {
            texts[repr(found["_id"])]: (moment(found.get(self.stream.cursor)), found["note"])
            for found in self.collection.find()
        }

    def latest(self) -> Latest:
        rows = self.warehouse.execute("select raw, _loaded_at, _file, _deleted_at from raw_ext.chats_raw")
        found = []
        for text, *others in rows:
            raw = orjson.loads(text)
            found.append((self.key_of(raw), moment(raw.get(self.stream.cursor)), raw.get("note"), *others))
        return self.latest_of(found)

    def damage(self, change: Change) -> None:
        rows = self.warehouse.execute(f"select raw, {', '.join(META)} from raw_ext.chats_raw")
        ours = [row for row in rows if change.key[0] == self.key_of(orjson.loads(row[0]))]
        if change.held in ("lost", "older"):
            for row in ours:
                self.warehouse.execute("delete from raw_ext.chats_raw where _file = ? and _file_row = ?", row[1:3])
        earlier = {"older": timedelta(seconds=1), "doubled": timedelta(hours=1)}.get(change.held)
        if not earlier:
            return
        assert change.before
        parse = "parse_json(?)" if self.settings.warehouse == "snowflake" else "cast(? as json)"
        for row in ours:
            raw = orjson.loads(row[0]) | {self.stream.cursor: (change.before - earlier).isoformat()}
            raw.pop(CURSOR_TEXT, None)
            self.warehouse.execute(
                f"insert into raw_ext.chats_raw (raw, _file, _file_row, _loaded_at)"
                f" select {parse}, ?, ?, cast(? as timestamp)",
                [orjson.dumps(raw).decode(), row[1], row[2], str(row[3])],
            )


def moment(value: Any) -> datetime | None:
    """Return a cursor, which is a date or text, as naive UTC."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.astimezone(UTC).replace(tzinfo=None) if found and found.tzinfo else found
