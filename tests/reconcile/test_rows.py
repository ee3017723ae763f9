"""`reconcile --rows` finds updates that did not change the cursor by comparing row hashes, and repairs them."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from adventure.core.errors import ConfigError
from adventure.core.row_text import RowColumn
from adventure.core.settings import Settings
from adventure.factory import open_warehouse
from adventure.processor.run import process_once
from adventure.sources.postgres.row_text import row_hash
from tests.reconcile.worlds import CHATS, HOSTILE, Documents, Table, World, make_hostile_table

T0 = datetime(2026, 1, 2, 3, 4, 5)
KEYS: dict[str, list[tuple[Any, ...]]] = {
    "table": [("a", "1"), ("1:b", "2.50"), ("mark", "0")],
    "documents": [("text",), ("7",), ("mark",)],
}


@pytest.fixture(params=list(KEYS))
def world(request: pytest.FixtureRequest, settings: Settings, writer_settings: Settings) -> World:
    """Load three rows, then change the note of the first without changing its cursor."""
    made: Table | Documents
    if request.param == "table":
        make_hostile_table(writer_settings)
        made = Table(settings, writer_settings, HOSTILE)
    else:
        made = Documents(settings, writer_settings, replace(CHATS, namespace=settings.mongo_db))
        made.clear()
    keys = KEYS[request.param]
    for number, key in enumerate(keys):
        made.put(key, T0 + timedelta(hours=number), "before")
    process_once(settings, [made.stream])
    made.load()
    made.put(keys[0], T0, "after")
    return made


def test_keys_and_cursors_alone_do_not_show_the_update(world: World) -> None:
    assert world.run().result.verdicts == {}


def test_the_update_is_found_and_repaired(world: World) -> None:
    report = world.run(rows=True)
    assert {verdict: found.rows for verdict, found in report.result.verdicts.items()} == {"changed": 1}
    assert report.result.rows == 3
    assert not report.is_clean

    assert world.run(rows=True, repair=True).is_clean
    world.load()
    assert world.run(rows=True).result.verdicts == {}
    assert world.latest() == world.source()  # type: ignore[attr-defined]


def test_a_column_missing_in_the_raw_table_counts_as_null(settings: Settings, writer_settings: Settings) -> None:
    make_hostile_table(writer_settings)
    table = Table(settings, writer_settings, HOSTILE)
    for key in KEYS["table"]:
        table.put(key, T0)
    process_once(settings, [HOSTILE])
    table.load()
    with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as connection:
        connection.execute('alter table "s""1"."t%s \'x\'" add column added int')
        assert table.run(rows=True).result.verdicts == {}
        connection.execute('update "s""1"."t%s \'x\'" set added = 1 where "k 1" = \'a\'')
    assert table.run(rows=True).result.count("changed") == 1


def test_snowflake_refuses_to_compare_whole_rows(snowflake_settings: Settings) -> None:
    warehouse = open_warehouse(snowflake_settings)
    with pytest.raises(ConfigError, match="without --rows"):
        warehouse.versions(HOSTILE, ["plain"], [RowColumn("note", "plain")], snowflake_settings.data_dir)


def test_a_row_of_two_hundred_columns_is_one_expression() -> None:
    columns = tuple(RowColumn(f"c{number}", "plain") for number in range(200))
    assert row_hash(columns).as_string(None).count("coalesce") == 200
