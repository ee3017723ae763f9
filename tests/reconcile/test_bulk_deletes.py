"""A repair that would delete many rows deletes none, shows what it would delete, and requires --force."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from adventure import cli
from adventure.cli import compare
from adventure.core.errors import ConfigError
from adventure.core.settings import Settings
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.run import process_once
from adventure.reconcile.run import reconcile
from tests.processor.conftest import stream_of, writer

THINGS = stream_of("things")


@pytest.fixture
def filled(settings: Settings, writer_settings: Settings) -> Callable[[int, int], None]:
    """Return a function that loads `rows` rows and then deletes `deletions` at the source."""

    def fill(rows: int, deletions: int) -> None:
        with writer(writer_settings) as connection:
            connection.execute(
                "create table things (id int primary key, changed_at timestamptz not null default now(), note text)"
            )
            connection.execute("insert into things (id) select generate_series(1, %s::int)", [rows])
        process_once(settings, [THINGS])
        DuckDBWarehouse(settings).load(THINGS)
        with writer(writer_settings) as connection:
            connection.execute("delete from things where id <= %s", [deletions])

    return fill


Filled = Callable[[int, int], None]


def live_keys(settings: Settings) -> int:
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(THINGS)
    return warehouse.live_key_count(THINGS)


@pytest.mark.parametrize(
    ("rows", "deletions", "deleted"),
    [
        (100, 100, 0),
        (110, 12, 0),
        (10, 10, 10),
        (1000, 100, 100),
        (1000, 101, 0),
    ],
    ids=["all", "more than a tenth", "a handful", "a tenth", "one more than a tenth"],
)
def test_a_repair_without_force_deletes_few_rows_but_not_many(
    settings: Settings, filled: Filled, rows: int, deletions: int, deleted: int
) -> None:
    filled(rows, deletions)
    (report,) = reconcile(settings, [THINGS], repair=True)
    assert report.repaired is not None
    assert (report.repaired.deleted, report.repaired.withheld) == (deleted, deletions - deleted)
    assert report.is_clean == (deleted > 0)
    assert live_keys(settings) == rows - deleted


def test_force_deletes_them(settings: Settings, filled: Filled) -> None:
    filled(50, 30)
    (report,) = reconcile(settings, [THINGS], repair=True, force=True)
    assert report.repaired is not None
    assert (report.repaired.deleted, report.repaired.withheld, report.is_clean) == (30, 0, True)
    assert live_keys(settings) == 20


def test_missing_rows_are_staged_even_if_deletions_are_withheld(
    settings: Settings, writer_settings: Settings, filled: Filled
) -> None:
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
    monkeypatch.setattr(compare, "pipeline_of", lambda _: (settings, (THINGS,)))
    refused = CliRunner().invoke(cli.app, ["reconcile", "--repair"])
    output = " ".join(refused.output.split())
    assert refused.exit_code == 1
    assert "30 of 50 live keys (60 %)" in output
    assert "adventure reconcile things --repair --force" in output
    assert " 1: at the source none" in output, "some of the keys"
    assert live_keys(settings) == 50
    assert CliRunner().invoke(cli.app, ["reconcile", "things", "--repair", "--force"]).exit_code == 0
    assert live_keys(settings) == 20


def test_force_without_repair_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "pipeline_of", lambda _: (settings, (THINGS,)))
    refused = CliRunner().invoke(cli.app, ["reconcile", "--force"])
    assert isinstance(refused.exception, ConfigError)
