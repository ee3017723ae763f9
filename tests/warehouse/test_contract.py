"""What every warehouse does with what is staged for it: the same tests against DuckDB and Snowflake.

Snowflake is its emulator, or the account that SNOWFLAKE_ACCOUNT names: tests/snowflake/live.py says how. What one of the two
promises beyond this is in test_load_and_cleanup.py and in tests/snowflake/test_load_stages.py.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import AdventureError
from adventure.core.manifest import Window
from adventure.core.settings import Settings
from adventure.core.stage import Stage
from adventure.destinations.results import LoadResult, TaskRun
from adventure.destinations.snowflake import account_tasks
from adventure.destinations.warehouse import Warehouse
from adventure.factory import open_stage, open_warehouse
from adventure.tasks import graph as tasks
from adventure.tasks.graph import run_task
from tests.snowflake import live
from tests.warehouse.conftest import CHATS, STREAM, T0, Stager, things

DOCUMENTS = replace(CHATS, key=("_id",))
T1 = T0 + timedelta(days=1)
ROUNDS = 3
"""Of a race between a processor and the tasks."""


@pytest.fixture(
    params=[
        "duckdb",
        # The emulator needs many times DuckDB's time.
        pytest.param("snowflake", marks=pytest.mark.slow),
        pytest.param("account", marks=live.needs_account),
    ]
)
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of each warehouse in turn, with nothing staged and nothing loaded."""
    if request.param == "duckdb":
        return load_settings(data_dir=tmp_path)
    if request.param == "account":
        return live.empty_account((STREAM, DOCUMENTS), tmp_path)
    from tests.snowflake import account

    monkeypatch.setattr(account_tasks, "POLL_SEC", account.POLL_SEC)
    made: Settings = request.getfixturevalue("snowflake_settings")
    account.create_tables(made, STREAM, DOCUMENTS)
    return made


@pytest.fixture
def stage(settings: Settings) -> Stage:
    return open_stage(settings)


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    return open_warehouse(settings)


def deletion(**key: str) -> dict[str, Any]:
    return {"key": key, "deleted_at": T1.isoformat()}


def ids(warehouse: Warehouse) -> list[int]:
    return [row[0] for row in warehouse.execute("select id from raw_ext.things_raw order by id")]


def staged(stage: Stage) -> set[str]:
    return {entry.path.split("/")[1] for entry in stage.entries("things_stage")}


def test_what_is_staged_is_listed_and_waits(warehouse: Warehouse, stage: Stage, put: Stager) -> None:
    window = put(things(1))
    assert [entry.path for entry in stage.entries("things_stage")] == [
        f"things_stage/{window.id}/part-00000.parquet",
        f"things_stage/{window.id}/window.json",
    ]
    assert stage.windows("things_stage") == [window]
    assert warehouse.loaded([window]) == set()
    warehouse.load(STREAM)
    assert warehouse.loaded([window]) == {window.id}


def test_rows_arrive_exactly_with_where_they_came_from(warehouse: Warehouse, put: Stager) -> None:
    values = {
        "amount": pa.array([Decimal("123456789012345678.123456789")], pa.decimal128(38, 9)),
        "at_time": pa.array([T0], pa.timestamp("us")),
        "note": pa.array(['naïve 🚲 "quoted"\n']),
    }
    window = put(things(7, **values))
    assert warehouse.load(STREAM) == LoadResult(1, 1)
    ((*row, file),) = warehouse.execute("select id, amount, at_time, note, _file from raw_ext.things_raw")
    assert row == [7, Decimal("123456789012345678.123456789"), T0, 'naïve 🚲 "quoted"\n']
    assert file == f"things_stage/{window.id}/part-00000.parquet"


def test_documents_arrive_whole(warehouse: Warehouse, put: Stager) -> None:
    document = {"_id": "a", "n": 9007199254740993, "deep": [{"text": "it's \\ fine"}]}
    put([orjson.dumps(document)], stream=DOCUMENTS)
    assert warehouse.load(DOCUMENTS) == LoadResult(1, 1)
    ((raw,),) = warehouse.execute("select raw from raw_ext.chat_logs_raw")
    assert orjson.loads(raw) == document
    assert warehouse.live_key_count(DOCUMENTS) == 1


def test_a_window_is_loaded_once(warehouse: Warehouse, put: Stager) -> None:
    put(things(1, 2))
    assert [warehouse.load(STREAM), warehouse.load(STREAM)] == [LoadResult(2, 1), LoadResult(0, 0)]
    put(things(3))
    warehouse.load(STREAM)
    assert ids(warehouse) == [1, 2, 3]


def test_a_window_without_its_manifest_does_not_exist(warehouse: Warehouse, stage: Stage, put: Stager) -> None:
    unfinished = put(things(1), commit=False)
    assert warehouse.load(STREAM) == LoadResult(0, 0)
    warehouse.cleanup(STREAM)
    assert staged(stage) == {unfinished.id}


def test_the_totals_count_rows_rejects_and_deletes(warehouse: Warehouse, put: Stager) -> None:
    changed = {"changed_at": pa.array([T0, T0])}
    put(
        things(1, 2, **changed),
        rejects=[{"key": "3", "reason": "it's NaN", "row": '{"id": 3}'}],
        deletes=[deletion(id="1")],
    )
    warehouse.load(STREAM)
    totals = warehouse.totals([STREAM, DOCUMENTS])
    assert (totals["things"].rows, totals["things"].rejected, totals["things"].deleted) == (2, 1, 1)
    assert totals["things"].last_loaded_at is not None
    assert totals["chats"].last_loaded_at is None
    assert warehouse.live_key_count(STREAM) == 1


def test_rejected_rows_are_kept_whole(warehouse: Warehouse, put: Stager) -> None:
    put(things(1), rejects=[{"key": "2", "reason": "it's NaN", "row": '{"id": "\\n"}'}])
    assert warehouse.load(STREAM) == LoadResult(1, 2)
    assert warehouse.execute('select stream, key, reason, "ROW" from raw_ext.rejected_rows') == [
        ("things", "2", "it's NaN", '{"id": "\\n"}')
    ]


def test_deletes_are_tombstones_beside_the_rows(warehouse: Warehouse, put: Stager) -> None:
    put(things(7, changed_at=pa.array([T0]), note=pa.array(["held"])))
    warehouse.load(STREAM)
    put(things(8, changed_at=pa.array([T0]), note=pa.array(["held"])), deletes=[deletion(id="7")])
    warehouse.load(STREAM)
    rows = warehouse.execute("select id, changed_at, note, _deleted_at from raw_ext.things_raw")
    assert sorted(rows, key=str) == [(7, T0, "held", None), (7, T1, None, T1), (8, T0, "held", None)]


def test_a_window_that_only_deletes_is_loaded_like_any_other(warehouse: Warehouse, stage: Stage, put: Stager) -> None:
    put(things(7, changed_at=pa.array([T0])))
    warehouse.load(STREAM)
    put(None, deletes=[deletion(id="7"), deletion(id="8")])
    assert warehouse.load(STREAM) == LoadResult(0, 1)
    rows = warehouse.execute("select id, changed_at, _deleted_at from raw_ext.things_raw")
    assert sorted(rows, key=str) == [(7, T0, None), (7, T1, T1), (8, T1, T1)]
    assert warehouse.live_key_count(STREAM) == 0
    warehouse.cleanup(STREAM)
    assert stage.entries("things_stage") == []


def test_a_window_that_only_deletes_waits_for_a_table_that_does_not_exist_yet(
    warehouse: Warehouse, stage: Stage, put: Stager
) -> None:
    window = put(None, deletes=[deletion(id="7")])
    assert warehouse.load(STREAM) == LoadResult()
    warehouse.cleanup(STREAM)
    assert stage.windows("things_stage") == [window]
    put(things(7, changed_at=pa.array([T0])))
    assert warehouse.load(STREAM) == LoadResult(1, 2)
    assert warehouse.live_key_count(STREAM) == 0
    warehouse.cleanup(STREAM)
    assert stage.entries("things_stage") == []


def test_cleanup_removes_what_is_loaded_and_nothing_else(warehouse: Warehouse, stage: Stage, put: Stager) -> None:
    put(things(1))
    warehouse.load(STREAM)
    later, unfinished = put(things(2)), put(things(3), commit=False)
    # Where the account itself cleans up after its load, it has done so before these arrived.
    warehouse.cleanup(STREAM)
    assert staged(stage) == {later.id, unfinished.id}
    assert warehouse.load(STREAM) == LoadResult(1, 1)
    warehouse.cleanup(STREAM)
    assert stage.windows("things_stage") == []
    assert ids(warehouse) == [1, 2]


def test_cleanup_by_itself_leaves_no_window_that_is_loaded(warehouse: Warehouse, stage: Stage, put: Stager) -> None:
    put(things(1))
    warehouse.load(STREAM)
    again = open_warehouse_like(warehouse)
    again.cleanup(STREAM)
    assert stage.entries("things_stage") == []


def open_warehouse_like(warehouse: Warehouse) -> Warehouse:
    """Another process's: it knows nothing of what this one ran."""
    return open_warehouse(warehouse._settings)  # type: ignore[attr-defined]


def test_windows_that_arrive_between_loads_and_cleanups_are_loaded_once_each(
    warehouse: Warehouse, stage: Stage, put: Stager
) -> None:
    arrived: list[Any] = []
    for number in range(3):
        arrived.append(put(things(2 * number)))
        warehouse.load(STREAM)
        arrived.append(put(things(2 * number + 1)))
        warehouse.cleanup(STREAM)
    warehouse.load(STREAM)
    warehouse.cleanup(STREAM)
    assert ids(warehouse) == [0, 1, 2, 3, 4, 5]
    assert warehouse.loaded(arrived) == {window.id for window in arrived}
    assert stage.entries("things_stage") == []


def test_windows_that_arrive_while_loads_and_cleanups_run_are_loaded_once_each(
    settings: Settings, warehouse: Warehouse, stage: Stage, put: Stager
) -> None:
    failures: list[BaseException] = []

    def run_tasks() -> None:
        try:
            theirs = open_warehouse(settings)
            theirs.load(STREAM)
            theirs.cleanup(STREAM)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    arrived: list[Any] = []
    for _ in range(ROUNDS):
        arrived.append(put(things(len(arrived))))
        runner = threading.Thread(target=run_tasks, daemon=True)
        runner.start()
        for _ in range(3):
            arrived.append(put(things(len(arrived))))
        runner.join(timeout=60)
        assert (runner.is_alive(), failures) == (False, [])
    warehouse.load(STREAM)
    warehouse.cleanup(STREAM)
    assert ids(warehouse) == list(range(len(arrived)))
    assert warehouse.loaded(arrived) == {window.id for window in arrived}
    assert stage.entries("things_stage") == []


def remove_file(stage: Stage, window: Window) -> None:
    stage.remove(replace(window, rejects=None))
    stage.commit(window)


def test_an_emptied_window_is_named_and_the_others_are_loaded(warehouse: Warehouse, stage: Stage, put: Stager) -> None:
    bad = put(things(1))
    put(things(2))
    remove_file(stage, bad)
    with pytest.raises(AdventureError, match=rf"{bad.id}/part-00000\.parquet is missing"):
        warehouse.load(STREAM)
    assert ids(warehouse) == [2]
    assert warehouse.loaded([bad]) == set()
    assert bad.id in staged(stage)


def test_fewer_rows_than_promised_load_nothing(warehouse: Warehouse, put: Stager) -> None:
    put(things(1, 2), promised=3)
    with pytest.raises(AdventureError, match=r"holds 2 rows where window\.json promises 3"):
        warehouse.load(STREAM)
    assert warehouse.execute("select count(*) from raw_ext.load_history") == [(0,)]


def test_a_new_column_is_added_and_a_dropped_one_stays(warehouse: Warehouse, put: Stager) -> None:
    put(things(1))
    warehouse.load(STREAM)
    put(things(2, gift=pa.array(["yes"])))
    warehouse.load(STREAM)
    put(things(3))
    warehouse.load(STREAM)
    rows = warehouse.execute("select id, gift from raw_ext.things_raw order by id")
    assert rows == [(1, None), (2, "yes"), (3, None)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.array([1], pa.int32()), pa.array(["one"])),
        (pa.array(["1"]), pa.array([1], pa.int32())),
        (pa.array([T0], pa.timestamp("us")), pa.array([T0.date()])),
        (pa.array([Decimal(1)], pa.decimal128(38, 0)), pa.array([Decimal(0)], pa.decimal128(38, 38))),
        (pa.array([1.0], pa.float64()), pa.array([1], pa.int64())),
    ],
)
def test_a_type_that_no_longer_fits_stops_the_stream_before_anything_is_loaded(
    warehouse: Warehouse, put: Stager, first: pa.Array, second: pa.Array
) -> None:
    put(things(1, kind=first))
    warehouse.load(STREAM)
    put(things(2, kind=second))
    with pytest.raises(AdventureError, match=r"(?i)things: column kind is staged as .* no longer fits"):
        warehouse.load(STREAM)
    assert ids(warehouse) == [1]


def test_a_dropped_raw_table_is_created_again_by_the_next_window(warehouse: Warehouse, put: Stager) -> None:
    """What was in it is for `adventure reconcile --repair`: the ledger knows that it was loaded."""
    put(things(1))
    warehouse.load(STREAM)
    warehouse.execute("drop table raw_ext.things_raw")
    put(things(2))
    assert warehouse.load(STREAM) == LoadResult(1, 1)
    assert ids(warehouse) == [2]


def test_the_load_stamp_never_goes_back(warehouse: Warehouse, put: Stager) -> None:
    put(things(1))
    warehouse.load(STREAM)
    warehouse.execute("update raw_ext.load_history set loaded_at = cast('2099-01-01 00:00:00' as timestamp)")
    put(things(2))
    warehouse.load(STREAM)
    assert warehouse.execute("select max(loaded_at) from raw_ext.load_history") == [(datetime(2099, 1, 1, 0, 0, 0, 1),)]


@pytest.mark.parametrize("alteration", ["drop column note", "rename column note to remark"])
def test_an_altered_raw_table_gets_its_column_back(
    warehouse: Warehouse, put: Stager, alter: Callable[[str], None], alteration: str
) -> None:
    put(things(1, note=pa.array(["a"])))
    warehouse.load(STREAM)
    alter(f"alter table raw_ext.things_raw {alteration}")
    put(things(2, note=pa.array(["b"])))
    assert warehouse.load(STREAM) == LoadResult(1, 1)
    assert warehouse.execute("select id, note from raw_ext.things_raw order by id") == [(1, None), (2, "b")]


@pytest.fixture
def alter(warehouse: Warehouse) -> Callable[[str], None]:
    """Somebody at the warehouse, with a worksheet."""
    return lambda statement: (warehouse.execute(statement), None)[1]


def test_runs_are_recorded_and_the_last_one_is_reported(settings: Settings, warehouse: Warehouse, put: Stager) -> None:
    put(things(1))
    runs = run_task(settings, (STREAM,), "load_things")
    told = {run.name: run for run in warehouse.last_runs()}
    assert [(run.name, run.outcome) for run in runs][:2] == [
        ("load_things", "succeeded"),
        ("cleanup_things", "succeeded"),
    ]
    assert (told["load_things"].rows, told["load_things"].files) == (1, 1)
    assert (told["cleanup_things"].rows, told["cleanup_things"].files) == (1, 2)


@pytest.fixture(autouse=True)
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is built is tests/dbt's."""
    monkeypatch.setattr(tasks, "_build", lambda *_: (LoadResult(), "nothing"))
    monkeypatch.setattr(tasks, "_publish", lambda *_: (LoadResult(), ""))


def test_a_failed_load_is_reported_with_its_reason(settings: Settings, warehouse: Warehouse, put: Stager) -> None:
    put(things(1), promised=2)
    (load, *_) = run_task(settings, (STREAM,), "load_things")
    assert load.outcome == "failed"
    (told,) = [run for run in warehouse.last_runs() if run.name == "load_things"]
    assert told.outcome == "failed"
    assert "promises 2" in told.message


def test_a_build_is_due_until_it_was_recorded_and_when_something_is_loaded(warehouse: Warehouse, put: Stager) -> None:
    assert warehouse.build_is_due()
    put(things(1))
    warehouse.load(STREAM)
    now = warehouse.totals([STREAM])["things"].last_loaded_at
    assert now is not None
    built = now + timedelta(seconds=1)
    warehouse.record_runs(TaskRun("build", built, built, "succeeded", 0, 0, "all"))
    assert not warehouse.build_is_due()
    (told,) = [run for run in warehouse.last_runs() if run.name == "build"]
    assert told == TaskRun("build", built, built, "succeeded", 0, 0, "all")


def test_failures_in_a_row_and_recent_rejects_are_counted(
    settings: Settings, warehouse: Warehouse, put: Stager
) -> None:
    put(things(1), rejects=[{"key": "2", "reason": "NaN", "row": "{}"}])
    put(things(3), promised=2)
    for _ in range(2):
        run_task(settings, (STREAM,), "load_things")
    times, message = warehouse.failures_in_a_row()["load_things"]
    assert times == 2
    assert "promises 2" in message
    assert warehouse.outstanding_rejects(STREAM, T0) == 1


def test_a_rejected_row_is_listed_until_a_later_row_of_its_key_is_loaded(warehouse: Warehouse, put: Stager) -> None:
    reject = {"key": "2", "reason": "name is not text in UTF-8", "row": '{"id": 2}'}
    without_key = [{"key": "NULL", "reason": "id, of its key, is NULL", "row": row} for row in ("a", "b")]
    put(things(1), rejects=[reject, *without_key])
    warehouse.load(STREAM)
    rows = {(row.key, row.row): row for row in warehouse.rejected_rows(STREAM)}
    assert set(rows) == {("2", '{"id": 2}'), ("NULL", "a"), ("NULL", "b")}
    assert (rows["2", '{"id": 2}'].reason, rows["2", '{"id": 2}'].has_returned) == (reject["reason"], False)
    put(things(2, 3))
    warehouse.load(STREAM)
    assert {row.key: row.has_returned for row in warehouse.rejected_rows(STREAM)} == {"2": True, "NULL": False}
