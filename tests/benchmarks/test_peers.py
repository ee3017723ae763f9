"""Test the comparison with other tools without installing any: the run, the value comparison and the table."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import psycopg
import pytest

from benchmarks.peers import __main__ as peers
from benchmarks.peers import tools
from benchmarks.peers.contender import prepare_contender
from benchmarks.peers.exactness import PROBES, Source
from benchmarks.peers.tools import TOOLS, Job, Tool
from benchmarks.results import write_between_markers  # type: ignore[attr-defined]
from benchmarks.sales_source import Sales, sales_source

# Run in the tests' environment instead of creating one.
ADVENTURE = replace(tools.ADVENTURE, pins=None)


def _copy(job: Job) -> list[list[str]]:
    return [["/bin/sh", "-c", "exit 0"]]


def _broken(job: Job) -> list[list[str]]:
    return [["/bin/sh", "-c", "echo some words; echo 'it cannot | be done' >&2; exit 3"]]


@pytest.mark.slow
def test_adventure_copies_every_value_of_the_comparison(tmp_path: Path) -> None:
    broken = Tool("broken", _broken, lambda folder, table: "")
    here, other = peers.run_all([ADVENTURE, broken], 200, 1, tmp_path, tmp_path)
    assert (here.failure, here.faults, len(here.increments)) == ("", [], 1)
    assert here.memory_mb > 10
    assert other.failure == "exit code 3: it cannot | be done"
    text = peers.table([here, other], 200)
    assert "200 orders and 800 lines" in text
    assert "| Adventure | this one | " in text
    assert text.splitlines()[-1] == r"| broken | this one | skipped: exit code 3: it cannot \| be done | | | |"


def test_every_other_tool_has_the_version_that_is_pinned() -> None:
    versions = {tool.name: tool.version for tool in TOOLS if not tool.name.startswith("Adventure")}
    assert versions.keys() >= {"rivet-cli", "sling", "ingestr"}
    assert all(re.match(r"\d+\.\d", version) for version in versions.values()), versions


@pytest.fixture(scope="module")
def sales() -> Iterator[Sales]:
    with sales_source(30) as made:
        with psycopg.connect(made.server.dsn()) as connection:
            connection.execute(PROBES.encode())
        yield made


def written(sales: Sales, folder: Path, changes: str) -> Tool:
    """Write a copy of the source as Parquet, all values as text, after some changes to it."""
    source = Source.read(sales.server.dsn(), folder)
    with duckdb.connect() as connection:
        connection.execute(f"attach '{source.path}' as source (read_only)")
        for table in ("orders", "order_details"):
            connection.execute(f"create table {table} as from source.{table}")
        connection.execute(changes)
        for table in ("orders", "order_details"):
            connection.execute(f"copy {table} to '{folder / table}.parquet'")
    return Tool("copy", _copy, lambda folder, table: f"from read_parquet('{folder / table}.parquet')")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ("", []),
        ("alter table orders drop column comment", ["orders.comment is missing"]),
        ("alter table orders drop column credit_card_id", ["orders.credit_card_id is missing"]),
        ("delete from orders where sales_order_number = 'SO7'", ["orders: 30 rows, 29 in the copy, 29 matched"]),
        ("insert into orders from orders limit 1", ["orders: 30 rows, 31 in the copy, 31 matched"]),
        ("alter table order_details alter unit_price type double", ["order_details.unit_price: 1"]),
        ("alter table order_details alter unit_price type decimal(38, 6)", []),
        (
            "alter table order_details alter unit_price_discount type decimal(38, 10)",
            ["order_details.unit_price_discount: 1"],
        ),
        (
            "update order_details set carrier_tracking_number = null where carrier_tracking_number = ''",
            ["order_details.carrier_tracking_number: 1"],
        ),
        (
            "update orders set last_modified = last_modified::timestamp + interval 1 microsecond",
            ["orders.last_modified: 30"],
        ),
        ("alter table orders alter sales_order_id type uuid", []),
        ("alter table orders alter last_modified type timestamp", []),
        ("alter table orders alter customer_id type integer", []),
    ],
)
def test_changed_values_of_a_copy_are_reported(sales: Sales, tmp_path: Path, changes: str, faults: list[str]) -> None:
    tool = written(sales, tmp_path, changes)
    assert Source.read(sales.server.dsn(), tmp_path).faults(tool, tmp_path) == faults


@pytest.mark.slow
def test_an_unreadable_copy_is_a_fault_and_the_run_continues(sales: Sales, tmp_path: Path) -> None:
    tool = Tool("nothing", _copy, lambda folder, table: f"from read_parquet('{folder / table}.parquet')")
    faults = Source.read(sales.server.dsn(), tmp_path).faults(tool, tmp_path)
    assert [fault.partition(": ")[0] for fault in faults] == ["orders cannot be read", "order_details cannot be read"]


def test_a_tool_that_cannot_be_installed_is_skipped_with_the_reason(
    tmp_path: Path,
) -> None:
    pins = tmp_path / "nothing.txt"
    pins.write_text("this-is ==not a requirement\n")
    contender = prepare_contender(replace(ADVENTURE, pins=pins), tmp_path / "environments", tmp_path)
    assert contender.failure.startswith("could not be installed: ")


def test_every_tool_has_its_versions_pinned() -> None:
    for tool in TOOLS:
        assert tool.pins
        named = [line for line in tool.pins.read_text().splitlines() if line[:1].isalnum()]
        assert named
        assert all("==" in line for line in named)


def test_the_table_replaces_the_text_between_its_markers(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    begin, end = peers.MARKERS
    path.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    write_between_markers(path, peers.MARKERS, "new")
    assert path.read_text() == f"before\n{begin}\nnew\n{end}\nafter\n"
