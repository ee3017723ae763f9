"""Loads and cleanups as DuckDB alone does them; what every warehouse does is test_contract.py's."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import SchemaDrift, StageDamaged, WarehouseBusy, WarehouseError
from adventure.core.settings import Settings
from adventure.destinations.duckdb import connection
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.results import LoadResult
from tests.warehouse.conftest import CHATS, STREAM, T0, Stager, things


def test_names_and_bytes_arrive_as_they_are(warehouse: DuckDBWarehouse, put: Stager) -> None:
    values = {
        "amount": pa.array([Decimal("123456789012345678.123456789")], pa.decimal128(38, 9)),
        "at": pa.array([T0], pa.timestamp("us")),
        "Note": pa.array(['naïve 🚲 "quoted"\n']),
        "data": pa.array([b"\x00\xff"]),
    }
    window = put(things(7, **values))
    assert warehouse.load(STREAM) == LoadResult(1, 1)
    ((row),) = warehouse.execute('select id, amount, "at", "Note", data, _file, _file_row from raw_ext.things_raw')
    file = f"things_stage/{window.id}/part-00000.parquet"
    assert row == (7, Decimal("123456789012345678.123456789"), T0, 'naïve 🚲 "quoted"\n', b"\x00\xff", file, 0)


def test_folders_named_like_columns_replace_no_value(tmp_path: Path, put: Stager) -> None:
    """DuckDB takes `id=7` in a path for the value of a column, unless it is asked not to."""
    put(
        things(1, 2, changed_at=pa.array([T0, T0], pa.timestamp("us"))),
        deletes=[{"key": {"id": "1"}, "deleted_at": "2026-03-01T00:00:00"}],
        rejects=[{"key": "3", "reason": "NaN", "row": "{}"}],
    )
    data_dir = tmp_path / "id=7" / "key=8" / "reason=9"
    data_dir.mkdir(parents=True)
    moved = load_settings(data_dir=data_dir)
    shutil.copytree(load_settings(data_dir=tmp_path).stage_dir, moved.stage_dir)
    warehouse = DuckDBWarehouse(moved)
    warehouse.load(STREAM)
    held = warehouse.execute("select id, _deleted_at is not null from raw_ext.things_raw order by all")
    assert held == [(1, False), (1, True), (2, False)]
    assert warehouse.execute("select key, reason from raw_ext.rejected_rows") == [("3", "NaN")]


def test_documents_keep_their_text(warehouse: DuckDBWarehouse, put: Stager) -> None:
    documents = [
        b'{"n":0.10000000000000000000001,"big":9223372036854775807}',
        b'{"deep":' + b"[" * 200 + b"]" * 200 + b"}",
    ]
    put(documents, stream=CHATS)
    warehouse.load(CHATS)
    found = warehouse.execute("select raw::varchar, _file_row from raw_ext.chat_logs_raw order by _file_row")
    assert found == [(document.decode(), row) for row, document in enumerate(documents)]


def test_cleanup_keeps_a_window_whose_ledger_has_another_count(
    settings: Settings, warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager
) -> None:
    put(things(1, 2))
    warehouse.load(STREAM)
    with duckdb.connect(str(settings.duckdb_path)) as database:
        database.execute("update raw_ext.load_history set rows = 1")
    assert warehouse.cleanup(STREAM) == LoadResult(0, 0)
    assert len(stage.windows("things_stage")) == 1


def test_cleanup_finishes_what_a_killed_one_began(warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager) -> None:
    window = put(things(1))
    warehouse.load(STREAM)
    stage.path(window, "part-00000.parquet").unlink()
    assert warehouse.load(STREAM) == LoadResult(0, 0)
    warehouse.cleanup(STREAM)
    assert stage.entries("things_stage") == []


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), "is not the file that was staged"),
        (lambda path: path.write_bytes(b""), "is not the file that was staged"),
        (lambda path: path.unlink(), "is missing"),
    ],
)
def test_a_damaged_file_stops_its_window_whole(
    warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager, damage: Callable[[Path], None], sentence: str
) -> None:
    put(things(1))
    bad = put(things(2))
    damage(stage.path(bad, "part-00000.parquet"))
    with pytest.raises(StageDamaged, match=sentence):
        warehouse.load(STREAM)
    assert warehouse.execute("select id from raw_ext.things_raw") == [(1,)]
    assert warehouse.cleanup(STREAM).files == 2
    assert [window.id for window in stage.windows("things_stage")] == [bad.id]


KEYED = replace(STREAM, key=("id", 'a "hostile" name'))
T1 = T0 + timedelta(days=1)


def deletion(**key: str) -> dict[str, Any]:
    return {"key": key, "deleted_at": T1.isoformat()}


def test_deleted_rows_become_tombstones_beside_the_rows(
    warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager
) -> None:
    names = {KEYED.key[1]: pa.array(["x"]), "changed_at": pa.array([T0]), "note": pa.array(["held"])}
    put(things(7, **names), stream=KEYED)
    window = put(
        things(8, **names),
        stream=KEYED,
        rejects=[{"key": "9", "reason": "NaN", "row": "{}"}],
        deletes=[deletion(**{"id": "7", KEYED.key[1]: "x"})],
    )
    assert warehouse.load(KEYED) == LoadResult(2, 4)
    rows = warehouse.execute(
        """select id, "a ""hostile"" name", changed_at, note, _deleted_at, _file_row from raw_ext.things_raw"""
    )
    assert sorted(rows, key=str) == [
        (7, "x", T0, "held", None, 0),
        (7, "x", T1, None, T1, 0),
        (8, "x", T0, "held", None, 0),
    ]
    kinds = warehouse.execute("select kind, rows from raw_ext.load_history where window_id = ?", [window.id])
    assert sorted(kinds) == [("data", 1), ("deletes", 1), ("rejects", 1)]
    assert warehouse.totals([KEYED])["things"].deleted == 1
    warehouse.cleanup(KEYED)
    assert stage.entries(KEYED.stage) == []


def test_deleted_documents_become_documents_of_key_and_cursor(warehouse: DuckDBWarehouse, put: Stager) -> None:
    put([b'{"_id":"a","n":1}'], stream=replace(CHATS, key=("_id",)), deletes=[deletion(_id='a"1')])
    warehouse.load(replace(CHATS, key=("_id",)))
    rows = warehouse.execute(
        "select raw::varchar, _deleted_at from raw_ext.chat_logs_raw order by _deleted_at nulls first"
    )
    text = '{"_adventure_key":{"_id":"a\\"1"},"_id":"a\\"1","changed_at":"2026-01-03T03:04:05.678901Z"}'
    assert rows == [('{"_id":"a","n":1}', None), (text, T1)]


def test_where_the_cursor_is_part_of_the_key_a_tombstone_keeps_it(warehouse: DuckDBWarehouse, put: Stager) -> None:
    stream = replace(STREAM, key=("id", "changed_at"))
    put(things(7, changed_at=pa.array([T0])), stream=stream, deletes=[deletion(id="7", changed_at=str(T0))])
    warehouse.load(stream)
    rows = warehouse.execute("select id, changed_at, _deleted_at from raw_ext.things_raw order by 3 nulls first")
    assert rows == [(7, T0, None), (7, T0, T1)]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (deletion(id="seven"), r"1 of its keys are no value of id in raw_ext\.things_raw \(INTEGER\), such as 'seven'"),
        (deletion(id="7.4"), "such as '7.4'"),
        (deletion(id="99999999999"), "such as '99999999999'"),
        (deletion(other="7"), "such as 'none'"),
        ({"key": {"id": "7"}, "deleted_at": None}, "such as '7'"),
    ],
)
def test_a_key_that_is_no_value_of_its_column_loads_nothing(
    warehouse: DuckDBWarehouse, put: Stager, line: dict[str, Any], sentence: str
) -> None:
    put(things(7, changed_at=pa.array([T0])))
    warehouse.load(STREAM)
    put(things(8, changed_at=pa.array([T0])), deletes=[deletion(id="7"), line])
    with pytest.raises(SchemaDrift, match=sentence):
        warehouse.load(STREAM)
    assert warehouse.execute("select id, _deleted_at from raw_ext.things_raw") == [(7, None)]


def test_a_raw_table_from_before_there_were_deletes_gets_the_column(
    settings: Settings, warehouse: DuckDBWarehouse, put: Stager
) -> None:
    put(things(7, changed_at=pa.array([T0])))
    warehouse.load(STREAM)
    with duckdb.connect(str(settings.duckdb_path)) as database:
        for table in ("things_raw", "orders_raw"):
            database.execute(f"alter table raw_ext.{table} drop column _deleted_at")
    put(things(8, changed_at=pa.array([T0])), deletes=[deletion(id="7")])
    again = DuckDBWarehouse(settings)
    again.load(STREAM)
    assert again.execute("select id, _deleted_at from raw_ext.things_raw where _deleted_at is not null") == [(7, T1)]
    assert again.execute("select count(_deleted_at) from raw_ext.orders_raw") == [(0,)]


def column(kind: pa.DataType, value: Any) -> dict[str, pa.Array]:
    return {"value": pa.array([value], kind)}


@pytest.mark.parametrize(
    ("first", "second", "kind", "values"),
    [
        (column(pa.int32(), 1), column(pa.int64(), 2**40), "BIGINT", [1, 2**40]),
        (column(pa.int64(), 2**40), column(pa.int16(), 1), "BIGINT", [2**40, 1]),
        (column(pa.float32(), 1.5), column(pa.float64(), 1e300), "DOUBLE", [1.5, 1e300]),
        (column(pa.decimal128(10, 2), Decimal("1.25")), column(pa.decimal128(12, 6), Decimal("1.000001")), "DECIMAL(14,6)",
         [Decimal("1.250000"), Decimal("1.000001")]),
        (column(pa.int32(), 7), column(pa.decimal128(5, 2), Decimal("1.25")), "DECIMAL(12,2)", [Decimal("7.00"), Decimal("1.25")]),
        ({}, column(pa.string(), "new"), "VARCHAR", [None, "new"]),
        (column(pa.string(), "old"), {}, "VARCHAR", ["old", None]),
    ],
)  # fmt: skip
def test_a_drift_without_loss_is_converted(
    warehouse: DuckDBWarehouse, put: Stager, first: dict[str, Any], second: dict[str, Any], kind: str, values: list[Any]
) -> None:
    put(things(1, **first))
    warehouse.load(STREAM)
    put(things(2, **second))
    warehouse.load(STREAM)
    found = warehouse.execute("select value from raw_ext.things_raw order by id")
    assert [row[0] for row in found] == values
    described = warehouse.execute(
        "select data_type from duckdb_columns() where table_name = 'things_raw' and column_name = 'value'"
    )
    assert described == [(kind,)]


@pytest.mark.parametrize("names", [{"_file": pa.array(["x"])}, {"Value": pa.array(["a"]), "value": pa.array(["b"])}])
def test_names_that_cannot_stand_in_the_raw_table_are_refused(
    warehouse: DuckDBWarehouse, put: Stager, names: dict[str, Any]
) -> None:
    put(things(1, **names))
    with pytest.raises(SchemaDrift, match="already has one of that name"):
        warehouse.load(STREAM)


_KILLED_WHILE_LOADING = """
import os, sys
from pathlib import Path
from adventure.core.environment import load_settings
from adventure.destinations.duckdb import load
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from tests.warehouse.conftest import STREAM
load._record = lambda *_: os.kill(os.getpid(), 9)
DuckDBWarehouse(load_settings(data_dir=Path(sys.argv[1]))).load(STREAM)
"""


def test_rows_and_ledger_commit_together_or_not_at_all(
    settings: Settings, warehouse: DuckDBWarehouse, put: Stager
) -> None:
    put(things(1, 2))
    root = Path(__file__).parent.parent.parent
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED_WHILE_LOADING, str(settings.data_dir)], cwd=root, check=False
    )
    assert killed.returncode == -9
    assert warehouse.execute("select count(*) from raw_ext.load_history") == [(0,)]
    assert warehouse.load(STREAM) == LoadResult(2, 1)
    assert warehouse.execute("select id from raw_ext.things_raw order by id") == [(1,), (2,)]


def test_a_warehouse_that_another_program_holds_is_awaited_and_then_named(
    settings: Settings, warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "RETRY_FOR_SEC", 0.5)
    script = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('open', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", script, str(settings.duckdb_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(WarehouseBusy, match=rf"warehouse\.duckdb is held by .* \(process {holder.pid}\)"):
            warehouse.execute("select 1")
    finally:
        holder.kill()
        holder.wait()
    assert warehouse.execute("select 1") == [(1,)]


def test_what_duckdb_refuses_is_one_sentence(warehouse: DuckDBWarehouse) -> None:
    with pytest.raises(WarehouseError, match=r"warehouse\.duckdb failed: Catalog Error: Table with name absent"):
        warehouse.execute("select * from absent")
