"""The rows that `adventure snowflake verify` stages: a thousand of each stream, a rejected and a deleted one."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import orjson
import pyarrow as pa

from adventure.core.files import NdjsonFile, ParquetParts
from adventure.core.kinds import WAREHOUSES
from adventure.core.manifest import DELETES, REJECTS, Column, StagedFile, Window
from adventure.core.streams import Stream
from adventure.destinations.snowflake.stage import SnowflakeStage

ROWS = 1000
_BEGIN = datetime(2026, 1, 1, 12, 0, 0, 123456)
_LAST = _BEGIN + timedelta(microseconds=ROWS - 1)
_HIGH = _BEGIN + timedelta(days=1)
_AMOUNT = Decimal("123456789012345.000000001")

QUERIES: Mapping[str, tuple[str, tuple[object, ...]]] = {
    "orders": (
        "select count(distinct sales_order_id), sum(sub_total), max(last_modified) from raw_ext.orders_raw"
        " where _deleted_at is null",
        (ROWS, ROWS * _AMOUNT, _LAST),
    ),
    "order_details": (
        "select count(distinct sales_order_detail_id), sum(line_total), max(last_modified)"
        " from raw_ext.order_details_raw where _deleted_at is null",
        (ROWS, ROWS * _AMOUNT, _LAST),
    ),
    "chat_logs": (
        'select count(distinct raw:"_id"::varchar), min(raw:"text"::varchar), max(raw:"number"::number)'
        " from raw_ext.chat_logs_raw where _deleted_at is null",
        (ROWS, "é 'quoted'", ROWS - 1),
    ),
}
"""For each stream a query of its raw rows, and the row that it must return."""


def write_window(
    stream: Stream,
    folder: Path,
    *,
    run_id: str = "verify00",
    only_rows: bool = False,
    rows: int = ROWS,
    mode: str = "horizon",
) -> Window:
    """Write the files of a window of the stream's rows into a new folder, as the processor does, and return it.

    Args:
        run_id: the end of the window's name; the rows are the same.
        only_rows: leave out the rejected and the deleted row.
        rows: how many of the rows to write.
    """
    folder.mkdir()
    data, columns = _write_documents(folder, rows) if stream.documents else _write_table(stream, folder, rows)
    deleted = {"key": dict.fromkeys(stream.key, "verify-0"), "deleted_at": "2026-01-02 00:00:00"}
    rejected = {"key": "{}", "reason": "Made up by verify", "row": "{}"}
    return Window(
        stream=stream.name,
        stage=stream.stage,
        low=None,
        high=_HIGH,
        run_id=run_id,
        files=(data,),
        rejects=None if only_rows else _write_lines(folder / REJECTS, [rejected]),
        columns=columns,
        staged_at=_HIGH,
        horizon=_HIGH,
        mode=mode,
        deletes=None if only_rows else _write_lines(folder / DELETES, [deleted]),
    )


def put_window(stage: SnowflakeStage, window: Window, folder: Path) -> None:
    """Stage the window's files. Staging the same window again is what a processor does that was killed."""
    for file in window.all_files:
        stage.put(window.stage, window.id, folder / file.name)
    stage.commit(window)
    stage.announce(window.stage)


def _write_table(stream: Stream, folder: Path, rows: int) -> tuple[StagedFile, tuple[Column, ...]]:
    (key,) = stream.key
    values: dict[str, pa.Array] = {key: pa.array([f"verify-{number}" for number in range(rows)])}
    if stream.name == "order_details":
        values["sales_order_id"] = values[key]
    amounts = ("sub_total",) if stream.name == "orders" else ("line_total", "unit_price")
    values |= dict.fromkeys(amounts, pa.array([_AMOUNT] * rows, pa.decimal128(38, 9)))
    moments = [_BEGIN + timedelta(microseconds=number) for number in range(rows)]
    values[stream.cursor] = pa.array(moments, pa.timestamp("us"))
    # The published marts have orders by their date, and units by product.
    if stream.name == "orders":
        values["order_date"] = values[stream.cursor]
    else:
        values |= dict.fromkeys(("order_qty", "product_id"), pa.array([1] * rows, pa.int64()))
        values["unit_price_discount"] = pa.array([Decimal(0)] * rows, pa.decimal128(38, 9))
    batch = pa.RecordBatch.from_pydict(values)
    parts = ParquetParts(folder, batch.schema, [], delta=WAREHOUSES["snowflake"].delta_encodings)
    parts.write(batch)
    (file,) = parts.close()
    return file.staged(), tuple(Column(each.name, str(each.type)) for each in batch.schema)


def _write_documents(folder: Path, rows: int) -> tuple[StagedFile, tuple[Column, ...]]:
    lines = [
        {"_id": f"verify-{number}", "number": number, "text": "é 'quoted'", "last_modified": _BEGIN.isoformat()}
        for number in range(rows)
    ]
    return _write_lines(folder / "part-00000.ndjson.gz", lines), (Column("raw", "json"),)


def _write_lines(path: Path, lines: Iterable[object]) -> StagedFile:
    with NdjsonFile(path) as file:
        file.write_lines([orjson.dumps(line) for line in lines])
        written = file.close()
    assert written
    return written.staged()
