"""From the source databases to the raw tables, once into DuckDB and once into Snowflake's emulator: the same rows."""

from collections.abc import Callable
from typing import Any

import orjson
import pyarrow.parquet as pq

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.run import backfill
from adventure.destinations.snowflake.scripts import layout
from adventure.destinations.snowflake.stage import SnowflakeStage
from adventure.factory import open_warehouse
from adventure.processor.run import process_once
from tests.snowflake.emulator import staged_path
from tests.snowflake.procedure import Session, run

_OF_THE_LOAD = ("_file", "_file_row", "_loaded_at")


def _sorted(query: Callable[[str], list[tuple[Any, ...]]], stream: Stream, columns: list[str]) -> list[tuple[Any, ...]]:
    rows = query(f"select {', '.join(columns)} from {stream.raw_table}")
    if stream.source == "mongo":
        place = columns.index("raw")
        rows = [(*row[:place], orjson.loads(row[place]), *row[place + 1 :]) for row in rows]
    return sorted(rows, key=str)


def test_both_warehouses_hold_the_same_rows(
    settings: Settings,
    writer_settings: Settings,
    on_snowflake: Settings,
    streams: tuple[Stream, ...],
    session: Session,
) -> None:
    backfill(writer_settings, orders=300, days=5, seed=11)
    process_once(settings, streams)
    process_once(on_snowflake, streams)
    embedded, stage = open_warehouse(settings), SnowflakeStage(on_snowflake)
    for stream in streams:
        embedded.load(stream)
        arguments = (stream.name, layout(stream), stream.stage, stream.raw_table, list(stream.key), stream.cursor)
        run(session, "load", *arguments)
        schema, table = stream.raw_table.split(".")
        found = embedded.execute(
            "select column_name from duckdb_columns() where schema_name = ? and table_name = ?", [schema, table]
        )
        columns = [name for (name,) in found if name not in _OF_THE_LOAD]
        held = _sorted(embedded.execute, stream, columns)
        assert held
        assert _sorted(lambda statement: session.sql(statement).collect(), stream, columns) == held
        run(session, "cleanup", *arguments)
        assert stage.entries(stream.stage) == []


def test_files_for_snowflake_have_the_encodings_of_which_its_manual_speaks(
    writer_settings: Settings, on_snowflake: Settings, streams: tuple[Stream, ...], session: Session
) -> None:
    backfill(writer_settings, orders=10, days=1, seed=11)
    process_once(on_snowflake, streams)
    (window,) = SnowflakeStage(on_snowflake).windows(streams[0].stage)
    location = f"@raw_ext.{window.stage.upper()}/{window.id}/{window.files[0].name}"
    group = pq.ParquetFile(staged_path(location, on_snowflake.snowflake_database)).metadata.row_group(0)
    encodings = {encoding for index in range(group.num_columns) for encoding in group.column(index).encodings}
    assert encodings <= {"PLAIN", "RLE", "PLAIN_DICTIONARY", "RLE_DICTIONARY"}
