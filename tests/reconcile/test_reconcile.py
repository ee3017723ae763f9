"""Whatever state the two sides are in, reconcile finds exactly what differs; a repair with a load makes it equal."""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import orjson
import psycopg
import pymongo
import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from adventure.processor.run import process_once
from adventure.reconcile import spans
from adventure.reconcile.keys import joined_key
from adventure.reconcile.run import Report, reconcile
from adventure.settings import Settings
from adventure.stage.folder import FolderStage
from adventure.streams import Stream
from adventure.warehouse.duckdb import DuckDBWarehouse

T0 = datetime(2026, 1, 2, 3, 4, 5)
MARK = T0 + timedelta(days=1)
"""The cursor of a row that nothing happens to: everything else lies below the watermark."""

KEYS = ["a", "", "1:b", "x,y", "ü'\"%"]
NUMBERS = ["1", "2.50", "-10"]
# Few moments, the first and last microsecond of pieces among them.
MOMENTS = [T0 + timedelta(microseconds=n) for n in (0, 1, 2, 1000, 999_999, 1_000_000)] + [
    T0 + timedelta(hours=n) for n in range(1, 4)
]


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FIRST_PIECES", 8), ("PIECES", 3), ("FEW", 2)):
        monkeypatch.setattr(spans, name, value)


@dataclass
class Change:
    """What happens to a key after the first load."""

    key: tuple[str, ...]
    before: datetime | None
    """Its cursor when it was loaded; None: it was not there."""
    now: datetime | None
    """Its cursor at the source now; None: it is gone."""
    held: str
    """What becomes of its rows in the warehouse: kept, lost, doubled by an older version, or only an older one left."""
    nulled: bool = False
    """The source's row loses its cursor."""

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


@st.composite
def changes(draw: st.DrawFn, parts: list[list[str]], cursors: list[datetime]) -> list[Change]:
    moments = st.sampled_from(cursors)
    keys = draw(st.lists(st.tuples(*map(st.sampled_from, parts)), max_size=8, unique=True))
    made = []
    for key in keys:
        before, now = draw(st.none() | moments), draw(st.none() | moments | st.just("same"))
        now = before if now == "same" else now
        held = draw(st.sampled_from(["kept", "kept", "lost", "doubled", "older"]))
        made.append(Change(key, before, now, held, nulled=bool(now) and draw(st.sampled_from([False] * 4 + [True]))))
    return made


@dataclass
class World:
    """A source table or collection, its stream, and the warehouse."""

    settings: Settings
    writer: Settings
    stream: Stream

    def run(self, **options: Any) -> Report:
        ((report),) = reconcile(self.settings, [self.stream], **options)
        return report

    def load(self) -> None:
        DuckDBWarehouse(self.settings).load(self.stream)

    def warehouse(self) -> "duckdb.DuckDBPyConnection":
        return duckdb.connect(str(self.settings.duckdb_path))

    def forget(self) -> None:
        """The warehouse as if nothing had been loaded, and no watermark."""
        with psycopg.connect(self.settings.state_conninfo, autocommit=True) as state:
            state.execute("drop table if exists processor_metadata")
        DuckDBWarehouse(self.settings)
        with self.warehouse() as connection:
            connection.execute(f"drop table if exists {self.stream.raw_table}")
            connection.execute("delete from raw_ext.load_history; delete from raw_ext.rejected_rows")
        stage = FolderStage(self.settings.stage_dir)
        for window in stage.windows(self.stream.stage):
            stage.remove(window)


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

    def latest(self) -> dict[str, tuple[datetime | None, str]]:
        with self.warehouse() as connection:
            rows = connection.execute(
                """
                select "k 1", "%k2", "c""%", note from raw_ext.hostile_raw
                qualify row_number() over (
                    partition by "k 1", "%k2" order by "c""%" desc nulls last, _loaded_at desc, _file desc
                ) = 1 and _deleted_at is null
                """
            ).fetchall()
        return {joined_key([row[0], f"{row[1].normalize():f}"]): row[2:] for row in rows}

    def canonical(self, key: tuple[str, ...]) -> str:
        """As both sides write it: a numeric without zeros at its end."""
        return joined_key((key[0], key[1].rstrip("0").rstrip(".") if "." in key[1] else key[1]))

    def damage(self, change: Change) -> None:
        where = '"k 1" = ? and "%k2" = ?'
        with self.warehouse() as connection:
            if change.held == "lost":
                connection.execute(f"delete from raw_ext.hostile_raw where {where}", change.key)
            if change.held == "older":
                connection.execute(
                    f'update raw_ext.hostile_raw set "c""%" = "c""%" - interval 1 second where {where}', change.key
                )
            if change.held == "doubled":
                connection.execute(
                    f"""
                    insert into raw_ext.hostile_raw
                    select * replace ("c""%" - interval 1 hour as "c""%") from raw_ext.hostile_raw where {where}
                    """,
                    change.key,
                )


HOSTILE_TABLE = '"s""1"."t%%s \'x\'"'


@pytest.fixture
def table(settings: Settings, writer_settings: Settings) -> Table:
    with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as connection:
        connection.execute('create schema "s""1"')
        connection.execute('grant usage on schema "s""1" to adventure_reader')
        connection.execute(
            f'create table {HOSTILE_TABLE} ("k 1" text, "%%k2" numeric(9, 3), "c""%%" timestamptz, note text,'
            ' primary key ("k 1", "%%k2"))'.replace("%%", "%")  # type: ignore[arg-type]
        )
        connection.execute('grant select on all tables in schema "s""1" to adventure_reader')
    return Table(settings, writer_settings, HOSTILE)


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
    '{"a":1}': {"a": 1},
    "mark": "mark",
}


class Documents(World):
    """A collection with keys of several kinds; every second one has its cursor as text."""

    @property
    def collection(self) -> Any:
        return pymongo.MongoClient(self.writer.mongo_conninfo)[self.stream.namespace][self.stream.table]

    def put(self, key: tuple[str, ...], cursor: datetime | None, note: str = "") -> None:
        # MongoDB keeps milliseconds.
        value: Any = cursor.isoformat() if cursor and key[0] in ("7", "text") else cursor
        document = {"note": note} | ({} if cursor is None else {self.stream.cursor: value})
        self.collection.replace_one({"_id": IDS[key[0]]}, document, upsert=True)

    def delete(self, key: tuple[str, ...]) -> None:
        self.collection.delete_one({"_id": IDS[key[0]]})

    def clear(self) -> None:
        self.forget()
        self.collection.delete_many({})

    def canonical(self, key: tuple[str, ...]) -> str:
        return key[0]

    def source(self) -> dict[str, tuple[datetime | None, str]]:
        texts = {repr(value): text for text, value in IDS.items()}
        return {
            texts[repr(found["_id"])]: (_moment(found.get(self.stream.cursor)), found["note"])
            for found in self.collection.find()
        }

    def latest(self) -> dict[str, tuple[datetime | None, str]]:
        with self.warehouse() as connection:
            connection.execute("set timezone = 'UTC'")
            rows = connection.execute(
                """
                with read as (
                    select *, raw ->> '_id' as id, try_cast(raw ->> $cursor as timestamp) as cursor
                    from raw_ext.chats_raw
                )
                select id, cursor, raw ->> 'note' from read
                qualify row_number() over (
                    partition by id order by cursor desc nulls last, _loaded_at desc, _file desc
                ) = 1 and _deleted_at is null
                """,
                {"cursor": self.stream.cursor},
            ).fetchall()
        return {row[0]: row[1:] for row in rows}

    def damage(self, change: Change) -> None:
        with self.warehouse() as connection:
            values = {"id": change.key[0]}
            where = "raw ->> '_id' = $id"
            if change.held == "lost":
                connection.execute(f"delete from raw_ext.chats_raw where {where}", values)
            earlier = {"older": timedelta(seconds=1), "doubled": timedelta(hours=1)}.get(change.held)
            if earlier:
                assert change.before
                patch = orjson.dumps({self.stream.cursor: (change.before - earlier).isoformat()}).decode()
                connection.execute(
                    "create temp table old as select * replace (json_merge_patch(raw, $patch::json) as raw)"
                    f" from raw_ext.chats_raw where {where}",
                    values | {"patch": patch},
                )
                if change.held == "older":
                    connection.execute(f"delete from raw_ext.chats_raw where {where}", values)
                connection.execute("insert into raw_ext.chats_raw from old")


def _moment(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


@pytest.fixture
def documents(settings: Settings, writer_settings: Settings) -> Documents:
    return Documents(settings, writer_settings, replace(CHATS, namespace=settings.mongo_db))


def check(world: Any, made: list[Change], mark_key: tuple[str, ...]) -> None:
    """Loads the state before, makes the state now, and compares what reconcile says with what was done."""
    world.clear()
    world.put(mark_key, MARK)
    for change in made:
        if change.before:
            world.put(change.key, change.before)
    process_once(world.settings, [world.stream])
    world.load()
    for change in made:
        if change.before:
            world.damage(change)
        if change.now is None:
            world.delete(change.key)
        else:
            world.put(change.key, None if change.nulled else change.now, "now")
    expected: dict[str, int] = {}
    for change in made:
        if change.verdict:
            expected[change.verdict] = expected.get(change.verdict, 0) + 1

    report = world.run()
    assert {verdict: found.rows for verdict, found in report.result.verdicts.items()} == expected
    assert report.is_clean == (not expected)

    repaired = world.run(repair=True)
    world.load()
    left = {verdict: rows for verdict, rows in expected.items() if verdict in ("behind", "unusable")}
    assert repaired.is_clean == (not left)
    after = world.run()
    assert {verdict: found.rows for verdict, found in after.result.verdicts.items()} == left
    # Row for row, but for what differs for good: there the warehouse's row stays as it was.
    kept = {world.canonical(c.key) for c in made if c.verdict in ("behind", "unusable")}
    source, latest = world.source(), world.latest()
    cursors = {key: row[0] for key, row in source.items() if key not in kept}
    assert {key: row[0] for key, row in latest.items() if key not in kept} == cursors
    for change in made:
        key = world.canonical(change.key)
        if change.verdict in ("missing", "stale"):
            assert latest[key] == source[key]


# An example takes a second or two: servers, processor and warehouse are real.
_RANDOM = hypothesis_settings(max_examples=int(os.environ.get("RECONCILE_EXAMPLES", "8")))


@_RANDOM
@given(made=changes([KEYS, NUMBERS], MOMENTS))
def test_a_table_in_any_state(table: Table, made: list[Change]) -> None:
    check(table, made, ("mark", "0"))


@_RANDOM
@given(made=changes([[key for key in IDS if key != "mark"]], [m for m in MOMENTS if m.microsecond % 1000 == 0]))
def test_a_collection_in_any_state(documents: Documents, made: list[Change]) -> None:
    check(documents, made, ("mark",))
