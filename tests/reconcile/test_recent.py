"""The scheduled reconciliation: what it compares, when it is due, and how differences are reported."""

from dataclasses import replace
from datetime import datetime, timedelta

import psycopg
import pytest

from adventure.core.clock import utc_now
from adventure.core.errors import CheckFailed
from adventure.core.settings import Settings
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.results import Outcome, TaskRun
from adventure.monitoring.health.rules import find_problems
from adventure.monitoring.live import read_state
from adventure.processor.run import process_once
from adventure.reconcile.recent import TASK, is_due, reconcile_recent
from adventure.tasks.graph import run_task
from tests.reconcile.worlds import HOSTILE, Table, make_hostile_table

NOW = datetime(2026, 1, 2, 3, 4, 5)
OLD = NOW - timedelta(days=3)


@pytest.fixture
def table(settings: Settings, writer_settings: Settings) -> Table:
    """Return a table with an old and a new row, both loaded."""
    make_hostile_table(writer_settings)
    world = Table(settings, writer_settings, HOSTILE)
    world.put(("old", "1"), OLD)
    world.put(("new", "2"), NOW)
    process_once(settings, [HOSTILE])
    world.load()
    return world


def lose(world: Table, key: str) -> None:
    world.warehouse.execute('delete from raw_ext.hostile_raw where "k 1" = ?', [key])


def test_equal_sides_are_compared_and_counted(table: Table) -> None:
    rows, message = reconcile_recent(table.settings, [HOSTILE])
    assert (rows, message) == (1, "Compared 1 rows of the last 24 h; source and warehouse agree")


def test_a_lost_row_of_the_last_hours_is_found(table: Table) -> None:
    lose(table, "new")
    with pytest.raises(CheckFailed, match=r"hostile: 1 missing of 1 rows.*`adventure reconcile --repair`"):
        reconcile_recent(table.settings, [HOSTILE])


def test_rows_older_than_the_window_are_left_to_a_full_reconciliation(table: Table) -> None:
    lose(table, "old")
    assert reconcile_recent(table.settings, [HOSTILE])[0] == 1


def test_a_table_without_rows_says_that_nothing_was_compared(settings: Settings, writer_settings: Settings) -> None:
    make_hostile_table(writer_settings)
    assert reconcile_recent(settings, [HOSTILE])[1].startswith("Nothing was compared")


def test_the_other_streams_are_compared_if_one_cannot_be(table: Table, writer_settings: Settings) -> None:
    lose(table, "new")
    with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as connection:
        connection.execute("create table other (id int primary key, at timestamptz)")
        connection.execute("grant select on other to adventure_reader")
        connection.execute("insert into other values (1, now() - interval '1 minute')")
    other = replace(
        HOSTILE, name="other", namespace="public", table="other", cursor="at", key=("id",), stage="other_stage",
        raw_table="raw_ext.other_raw",
    )  # fmt: skip
    process_once(table.settings, [other])
    with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as connection:
        connection.execute("drop table other")
    with pytest.raises(CheckFailed, match=r"other could not be compared: .*hostile: 1 missing"):
        reconcile_recent(table.settings, [other, HOSTILE])


@pytest.mark.parametrize(
    ("interval", "ago", "outcome", "due"),
    [
        (86400, None, None, True),
        (86400, 86_000, "succeeded", False),
        (86400, 87_000, "succeeded", True),
        (86400, 500, "failed", False),
        (86400, 700, "failed", True),
        (60, 70, "failed", True),
        (0, None, None, False),
    ],
)
def test_when_it_is_due(
    settings: Settings, interval: float, ago: float | None, outcome: Outcome | None, due: bool
) -> None:
    asked = settings.model_copy(update={"reconcile_interval_sec": interval})
    warehouse = DuckDBWarehouse(asked)
    if ago is not None and outcome is not None:
        moment = utc_now() - timedelta(seconds=ago)
        warehouse.record_runs(TaskRun(TASK, moment, moment, outcome, 0, 0, ""))
    assert is_due(asked, warehouse) == due


def test_a_difference_is_a_problem_at_once_until_the_repair(table: Table) -> None:
    lose(table, "new")
    (run,) = run_task(table.settings, (HOSTILE,), TASK)
    assert (run.outcome, run.name) == ("failed", TASK)
    problems = [each.sentence for each in find_problems(read_state(table.settings, [HOSTILE], table.warehouse))]
    assert any("hostile: 1 missing of 1 rows" in sentence for sentence in problems)

    table.run(repair=True)
    table.load()
    (run,) = run_task(table.settings, (HOSTILE,), TASK)
    assert (run.outcome, run.rows) == ("succeeded", 1)
    problems = [each.sentence for each in find_problems(read_state(table.settings, [HOSTILE], table.warehouse))]
    assert not any("missing" in sentence for sentence in problems)
