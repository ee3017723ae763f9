"""Rejected rows are staged once they can be converted, and never end a reconciliation."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from adventure.core.clock import utc_now
from adventure.core.errors import SchemaDrift
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.factory import open_stage
from adventure.monitoring.checks.flow import flow_checks
from adventure.processor.run import process_once
from adventure.reconcile.removal import remove_window
from adventure.reconcile.run import Report, reconcile
from tests.processor.conftest import stream_of, writer

AMOUNTS = stream_of("things", types={"amount": "decimal(10,2)"})

Execute = Callable[..., Any]


@pytest.fixture
def execute(writer_settings: Settings) -> Iterator[Execute]:
    """Return a function that runs statements on a table `things(id, amount numeric, changed_at)`."""
    with writer(writer_settings) as connection:
        connection.execute(
            "create table things (id int, amount numeric,"
            " changed_at timestamp default (clock_timestamp() at time zone 'utc'))"
        )
        connection.execute("create index on things (changed_at)")
        yield connection.execute


def load(settings: Settings, stream: Stream = AMOUNTS) -> DuckDBWarehouse:
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(stream)
    return warehouse


def counts(report: Report) -> dict[str, int]:
    assert report.result is not None
    return {verdict: found.rows for verdict, found in report.result.verdicts.items()}


def repaired(settings: Settings, stream: Stream = AMOUNTS) -> int:
    (report,) = reconcile(settings, [stream], repair=True)
    return report.repaired.rows if report.repaired else 0


def amounts(settings: Settings, column: str = "amount") -> list[Any]:
    rows = DuckDBWarehouse(settings).execute(f"select {column} from raw_ext.things_raw order by id, _loaded_at")
    return [row[0] for row in rows]


def rejected(settings: Settings) -> int:
    return int(DuckDBWarehouse(settings).execute("select count(*) from raw_ext.rejected_rows")[0][0])


def failing(settings: Settings, warehouse: DuckDBWarehouse) -> list[str]:
    """Return the failed count checks. These tests run no cleanup, so files stay in the stage."""
    return [c.label for c in flow_checks(settings, warehouse, AMOUNTS) if c.failed and "keys" in c.label]


def begin(settings: Settings, execute: Execute) -> None:
    """Load a row that fits, one with too many digits, and a later one that moves the watermark past both."""
    execute("insert into things values (1, 1.25), (2, 0.123456)")
    execute("insert into things values (3, 3)")
    process_once(settings, [AMOUNTS])
    load(settings)
    assert (amounts(settings), rejected(settings)) == ([Decimal("1.25"), Decimal(3)], 1)


def test_after_a_change_of_types_a_repair_stages_the_row(settings: Settings, execute: Execute) -> None:
    begin(settings, execute)
    wider = replace(AMOUNTS, types={"amount": "decimal(18,6)"})
    (before,) = reconcile(settings, [AMOUNTS])
    assert counts(before) == {"rejected": 1}
    assert repaired(settings, wider) == 1
    load(settings, wider)
    assert amounts(settings) == [Decimal("1.25"), Decimal("0.123456"), Decimal(3)]
    (after,) = reconcile(settings, [wider])
    assert counts(after) == {}


def test_after_types_became_text_the_commands_of_the_error_bring_the_row(settings: Settings, execute: Execute) -> None:
    begin(settings, execute)
    text = replace(AMOUNTS, types={})
    assert repaired(settings, text) == 1
    with pytest.raises(SchemaDrift, match="Rename the old column there") as caught:
        load(settings, text)
    rename = caught.value.remedy.partition("(")[2].partition(")")[0].replace("…", "amount_before")
    DuckDBWarehouse(settings).execute(rename)
    load(settings, text)
    assert amounts(settings) == [None, "0.123456", None]
    assert amounts(settings, "amount_before") == [Decimal("1.25"), None, Decimal(3)]


def test_after_types_were_forgotten_the_commands_of_the_error_keep_the_column(
    settings: Settings, execute: Execute
) -> None:
    begin(settings, execute)
    execute("insert into things values (4, 4)")
    process_once(settings, [replace(AMOUNTS, types={})])
    with pytest.raises(SchemaDrift, match=r"If `types` in pipeline\.toml is the reason"):
        load(settings)
    window = open_stage(settings).windows(AMOUNTS.stage)[-1]
    reconcile(settings, [AMOUNTS], repair=True, without=[window.id])
    remove_window(settings, AMOUNTS, window.id, force=False)
    load(settings)
    assert amounts(settings) == [Decimal("1.25"), Decimal(3), Decimal(4)]


@pytest.mark.parametrize("with_cursor", [True, False], ids=["with a later cursor", "without a later cursor"])
def test_a_row_that_was_fixed_at_the_source_comes_back(settings: Settings, execute: Execute, with_cursor: bool) -> None:
    begin(settings, execute)
    execute(f"update things set amount = 2 {', changed_at = default' if with_cursor else ''} where id = 2")
    if with_cursor:
        process_once(settings, [AMOUNTS])
    else:
        assert repaired(settings) == 1
    warehouse = load(settings)
    assert amounts(settings) == [Decimal("1.25"), Decimal(2), Decimal(3)]
    assert warehouse.outstanding_rejects(AMOUNTS, utc_now().min) == 0
    assert failing(settings, warehouse) == []


def test_a_row_that_still_cannot_be_converted_is_not_rejected_twice(settings: Settings, execute: Execute) -> None:
    begin(settings, execute)
    assert repaired(settings) == 0
    warehouse = load(settings)
    assert rejected(settings) == 1
    assert warehouse.outstanding_rejects(AMOUNTS, utc_now().min) == 1
    checks = {check.label: check for check in flow_checks(settings, warehouse, AMOUNTS)}
    found = checks["things: raw keys = source rows"]
    assert (found.expected, found.actual, found.holds) == ("2 to 3 (1 rejected)", "2", True)


def test_an_older_version_of_a_rejected_row_is_no_failed_check(settings: Settings, execute: Execute) -> None:
    begin(settings, execute)
    execute("update things set amount = 0.123456, changed_at = default where id = 1")
    process_once(settings, [AMOUNTS])
    warehouse = load(settings)
    assert warehouse.outstanding_rejects(AMOUNTS, utc_now().min) == 2
    assert failing(settings, warehouse) == []


def test_a_row_that_gets_a_cursor_below_the_watermark_is_missing_until_a_repair(
    settings: Settings, execute: Execute
) -> None:
    execute("insert into things values (1, 1, null), (2, 2, default)")
    process_once(settings, [AMOUNTS])
    load(settings)
    assert counts(reconcile(settings, [AMOUNTS])[0]) == {"rejected": 1}
    execute("update things set changed_at = '2026-01-01' where id = 1")
    assert counts(reconcile(settings, [AMOUNTS])[0]) == {"missing": 1}
    assert repaired(settings) == 1
    load(settings)
    assert counts(reconcile(settings, [AMOUNTS])[0]) == {}


def test_a_key_that_is_null_ends_no_reconciliation(settings: Settings, execute: Execute) -> None:
    """Keys of five types, and a stream without such a key beside them."""
    kinds = ("int", "bigint", "uuid", "timestamp", "text")
    for kind in kinds:
        execute(f"create table {kind}_keys as table things")
        execute(f"alter table {kind}_keys alter id type {kind} using null, alter changed_at set default localtimestamp")
        execute(f"insert into {kind}_keys values (null, 1), (null, 2)")
    streams = [
        stream_of(f"{kind}_keys", name=kind, stage=f"{kind}_stage", raw_table=f"raw_ext.{kind}_raw") for kind in kinds
    ]
    execute("insert into things values (7, 7)")
    time.sleep(0.15)
    process_once(settings, [*streams, AMOUNTS])
    for stream in (*streams, AMOUNTS):
        load(settings, stream)
    found = reconcile(settings, [*streams, AMOUNTS], repair=True)
    assert [(report.failure, counts(report)) for report in found] == [*[(None, {"rejected": 2})] * 5, (None, {})]
    DuckDBWarehouse(settings).execute("delete from raw_ext.rejected_rows")
    assert [counts(report) for report in reconcile(settings, streams)] == [{"unusable": 2}] * 5


def test_a_null_in_a_composite_key_is_reported_as_rejected(
    settings: Settings, execute: Execute, writer_settings: Settings
) -> None:
    both = replace(AMOUNTS, key=("id", "amount"))
    execute("insert into things values (1, null), (2, 2)")
    process_once(settings, [both])
    load(settings, both)
    assert counts(reconcile(settings, [both], repair=True)[0]) == {"rejected": 1}
    with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as connection:
        connection.execute("update things set amount = 1 where id = 1")
    assert counts(reconcile(settings, [both])[0]) == {"missing": 1}
