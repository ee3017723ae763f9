"""Many small windows that wait are loaded in few transactions, with the result of loading them one by one."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adventure.core.errors import SchemaDrift, StageDamaged
from adventure.core.manifest import MANIFEST, Window
from adventure.destinations.duckdb import load
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.results import LoadResult
from tests.warehouse.conftest import STREAM, Stager, things


def ids(warehouse: DuckDBWarehouse) -> list[int]:
    return [row[0] for row in warehouse.execute("select id from raw_ext.things_raw order by _loaded_at, id")]


def sizes(windows: list[Window]) -> list[int]:
    return [len(batch) for batch in load.batches(windows)]


def test_a_batch_has_a_bound_of_windows_and_one_of_rows(put: Stager, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = [put(things(*range(3))) for _ in range(7)]
    assert sizes(windows) == [7]
    monkeypatch.setattr(load, "WINDOWS_A_BATCH", 3)
    assert sizes(windows) == [3, 3, 1]
    monkeypatch.setattr(load, "ROWS_A_BATCH", 6)
    assert sizes(windows) == [2, 2, 2, 1]
    monkeypatch.setattr(load, "ROWS_A_BATCH", 1)
    assert sizes(windows) == [1] * 7


def test_windows_of_other_columns_begin_another_batch(put: Stager) -> None:
    note = {"note": pa.array(["x"])}
    assert sizes([put(things(1)), put(things(2, **note)), put(things(3, **note)), put(things(4))]) == [1, 2, 1]


def test_later_windows_have_later_stamps(warehouse: DuckDBWarehouse, put: Stager) -> None:
    for number in (3, 1, 2):
        put(things(number))
    assert warehouse.load(STREAM) == LoadResult(3, 3)
    assert ids(warehouse) == [3, 1, 2]
    assert warehouse.execute("select count(distinct loaded_at) from raw_ext.load_history") == [(3,)]


@pytest.mark.parametrize("bad", [0, 1, 3])
def test_a_damaged_window_stops_no_other_of_its_batch(
    warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager, bad: int
) -> None:
    windows = [put(things(number)) for number in range(4)]
    stage.path(windows[bad], "part-00000.parquet").write_bytes(b"")
    with pytest.raises(StageDamaged):
        warehouse.load(STREAM)
    assert ids(warehouse) == [number for number in range(4) if number != bad]


def test_windows_before_a_drift_are_loaded(warehouse: DuckDBWarehouse, put: Stager) -> None:
    dates = {"day": pa.array([1], pa.date32())}
    drifted = {"day": pa.array(["x"])}
    for number, columns in enumerate((dates, dates, drifted, dates)):
        put(things(number, **columns))
    with pytest.raises(SchemaDrift):
        warehouse.load(STREAM)
    assert ids(warehouse) == [0, 1]


def test_a_promise_that_is_not_kept_undoes_its_window_only(warehouse: DuckDBWarehouse, put: Stager) -> None:
    put(things(1))
    put(things(2), promised=2)
    put(things(3))
    with pytest.raises(StageDamaged, match=r"holds 1 rows where window\.json promises 2"):
        warehouse.load(STREAM)
    assert ids(warehouse) == [1, 3]
    assert warehouse.execute("select sum(rows), count(*) from raw_ext.load_history") == [(2, 2)]


def test_files_whose_counts_add_up_are_compared_each(warehouse: DuckDBWarehouse, put: Stager) -> None:
    put(things(1), promised=2)
    put(things(2, 3), promised=1)
    put(things(4))
    with pytest.raises(StageDamaged):
        warehouse.load(STREAM)
    assert ids(warehouse) == [4]


@pytest.mark.parametrize("bad", [0, 2])
@pytest.mark.parametrize(
    "other",
    [
        pa.table({"id": pa.array([2**40]), "note": pa.array(["x"])}),
        pa.table({"note": pa.array(["x"]), "id": pa.array([9], pa.int32())}),
        pa.table({"id": pa.array([9], pa.int32()), "Note": pa.array(["x"])}),
        pa.table({"id": pa.array([9], pa.int32())}),
        pa.table({"id": pa.array([9], pa.int32()), "note": pa.array(["x"]), "more": pa.array([1])}),
    ],
    ids=["type", "order", "case", "fewer", "more"],
)
def test_a_file_of_other_columns_stops_no_other_of_its_batch(
    warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager, bad: int, other: pa.Table
) -> None:
    windows = [put(things(number, note=pa.array(["x"]))) for number in range(3)]
    path = stage.path(windows[bad], "part-00000.parquet")
    pq.write_table(other, path)
    content = path.read_bytes()
    promise = replace(windows[bad].files[0], bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    stage.path(windows[bad], MANIFEST).write_bytes(replace(windows[bad], files=(promise,)).to_json())
    with pytest.raises(StageDamaged, match=rf"{windows[bad].id}.*its columns are not those of window\.json"):
        warehouse.load(STREAM)
    assert ids(warehouse) == [number for number in range(3) if number != bad]


def test_columns_may_have_the_names_that_duckdb_gives_to_facts_of_files(
    warehouse: DuckDBWarehouse, put: Stager
) -> None:
    for number in (1, 2):
        put(things(number, filename=pa.array(["a"]), file_index=pa.array([7])))
    warehouse.load(STREAM)
    rows = warehouse.execute("select id, filename, file_index, _file_row from raw_ext.things_raw order by id")
    assert rows == [(1, "a", 7, 0), (2, "a", 7, 0)]


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(load, "WINDOWS_A_BATCH", 1)


def test_the_rows_are_those_of_windows_loaded_one_by_one(
    warehouse: DuckDBWarehouse, put: Stager, one_by_one: Callable[[], None]
) -> None:
    for number in range(30):
        deleted = {"key": {"id": f"{number % 5}"}, "deleted_at": datetime(1970, 1, 1, 0, 0, number).isoformat()}
        put(
            things(number % 7, 7, changed_at=pa.array([number, number], pa.timestamp("us"))),
            deletes=[deleted] if number % 3 == 0 else None,
            rejects=[{"key": f"{number}", "reason": "NaN", "row": "{}"}] if number % 4 == 0 else None,
        )
    questions = (
        "select * exclude _loaded_at from raw_ext.things_raw order by all",
        "select id, changed_at from raw_ext.things_latest order by all",
        "select * exclude _loaded_at from raw_ext.rejected_rows order by all",
        "select * exclude loaded_at from raw_ext.load_history order by all",
    )
    warehouse.load(STREAM)
    together = [warehouse.execute(question) for question in questions]
    warehouse.execute("drop view raw_ext.things_latest")
    warehouse.execute("drop table raw_ext.things_raw")
    warehouse.execute("delete from raw_ext.load_history")
    warehouse.execute("delete from raw_ext.rejected_rows")
    one_by_one()
    warehouse.load(STREAM)
    assert [warehouse.execute(question) for question in questions] == together
    assert [len(rows) for rows in together] == [70, 3, 8, 48]
