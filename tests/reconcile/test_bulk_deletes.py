"""A repair that would delete much deletes nothing, says what it would delete, and wants --force."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from adventure import cli
from adventure.core.errors import ConfigError
from adventure.core.settings import Settings
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.run import process_once
from adventure.reconcile.run import reconcile
from tests.processor.conftest import stream_of, writer

THINGS = stream_of("things")


@pytest.fixture
def filled(settings: Settings, writer_settings: Settings) -> Callable[[int, int], None]:
    """So many rows are loaded, and then so many deleted at the source."""

    def fill(rows: int, gone: int) -> None:
        with writer(writer_settings) as connection:
            connection.execute(
                "create table things (id int primary key, changed_at timestamptz not null default now(), note text)"
            )
            connection.execute("insert into things (id) select generate_series(1, %s::int)", [rows])
        process_once(settings, [THINGS])
        DuckDBWarehouse(settings).load(THINGS)
        with writer(writer_settings) as connection:
            connection.execute("delete from things where id <= %s", [gone])

    return fill


Filled = Callable[[int, int], None]


def living(settings: Settings) -> int:
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(THINGS)
    return warehouse.live_key_count(THINGS)


@pytest.mark.parametrize(
    ("rows", "gone", "deleted"),
    [
        (100, 100, 0),
        (110, 12, 0),
        (10, 10, 10),
        (1000, 100, 100),
        (1000, 101, 0),
    ],
    ids=["all", "more than a tenth", "a handful", "a tenth", "one more than a tenth"],
)
def test_a_repair_deletes_few_rows_by_itself_and_never_many(
    settings: Settings, filled: Filled, rows: int, gone: int, deleted: int
) -> None:
    filled(rows, gone)
    (report,) = reconcile(settings, [THINGS], repair=True)
    assert report.repaired is not None
    assert (report.repaired.deleted, report.repaired.withheld) == (deleted, gone - deleted)
    assert report.is_clean == (deleted > 0)
    assert living(settings) == rows - deleted


def test_force_deletes_them(settings: Settings, filled: Filled) -> None:
    filled(50, 30)
    (report,) = reconcile(settings, [THINGS], repair=True, force=True)
    assert report.repaired is not None
    assert (report.repaired.deleted, report.repaired.withheld, report.is_clean) == (30, 0, True)
    assert living(settings) == 20


def test_what_is_missing_is_staged_all_the_same(settings: Settings, writer_settings: Settings, filled: Filled) -> None:
    filled(50, 30)
    with writer(writer_settings) as connection:
        connection.execute("insert into things (id, changed_at) values (99, now() - interval '1 day')")
    (report,) = reconcile(settings, [THINGS], repair=True)
    assert report.repaired is not None
    assert (report.repaired.rows, report.repaired.deleted, report.repaired.withheld) == (1, 0, 30)


def test_the_command_shows_what_it_would_delete(
    settings: Settings, filled: Filled, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(50, 30)
    monkeypatch.setattr(cli, "pipeline_of", lambda _: (settings, (THINGS,)))
    refused = CliRunner().invoke(cli.app, ["reconcile", "--repair"])
    said = " ".join(refused.output.split())
    assert refused.exit_code == 1
    assert "30 of 50 living keys (60 %)" in said
    assert "adventure reconcile things --repair --force" in said
    assert " 1: at the source none" in said, "some of the keys"
    assert living(settings) == 50
    assert CliRunner().invoke(cli.app, ["reconcile", "things", "--repair", "--force"]).exit_code == 0
    assert living(settings) == 20


def test_force_without_repair_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "pipeline_of", lambda _: (settings, (THINGS,)))
    refused = CliRunner().invoke(cli.app, ["reconcile", "--force"])
    assert isinstance(refused.exception, ConfigError)
