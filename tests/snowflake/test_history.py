"""The history in Snowflake's raw tables: the same rows as in DuckDB's, from the same files, all of them or none."""

import gzip
import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError, CreditBudgetReached, StageDamaged
from adventure.core.settings import Settings
from adventure.demo import history
from adventure.demo.history.into_snowflake import STAGE, HistoryInSnowflake
from adventure.demo.history.tables import RAW_TABLES
from adventure.destinations.snowflake.session import connect_snowflake
from adventure.destinations.snowflake.stage import SnowflakeStage
from adventure.destinations.warehouse import Warehouse
from adventure.factory import open_warehouse
from tests.snowflake import account

pytestmark = pytest.mark.slow

ROWS = 150
HOSTILE = (
    b'{"OrderDate":"it\'s \\\\ \\" \xf0\x9f\x9a\xb2","ShipDate":null,"Freight":12345678901234567890.123456789}',
    b"no JSON at all \\ 'x'",
    b'[1, "a document of another kind"]',
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history") / "whole"
    history.synthesise(folder, seed=1)
    return folder


@pytest.fixture
def files(whole: Path, tmp_path: Path) -> Path:
    """A sample of the synthesised history, with rows that fit nowhere."""
    sample = tmp_path / "sample"
    sample.mkdir()
    for path in whole.iterdir():
        with gzip.open(path) as lines, gzip.open(sample / path.name, "wb") as kept:
            kept.writelines(itertools.islice(lines, ROWS))
            if path.name.startswith("purchase_order_raw"):
                kept.writelines(line + b"\n" for line in HOSTILE)
    return sample


@pytest.fixture
def pipeline(snowflake_settings: Settings) -> Settings:
    account.create_tables(snowflake_settings)
    return snowflake_settings


def rows_of(warehouse: Warehouse, embedded: Warehouse) -> dict[str, list[Any]]:
    """Each raw table's rows without the stamp; documents parsed, their numbers to the last digit."""
    found = {}
    for table in RAW_TABLES:
        described = embedded.execute(
            "select column_name from duckdb_columns() where schema_name = ? and table_name = ? order by column_index",
            [table.schema, table.name],
        )
        columns = [name for (name,) in described if name != "_loaded_at"]
        rows = warehouse.execute(f"select {', '.join(columns)} from {table.location}")
        if columns[0] == "raw":
            rows = [(json.loads(row[0], parse_float=Decimal), *row[1:]) for row in rows]
        found[table.location] = sorted(rows, key=str)
    return found


def test_it_holds_the_rows_that_duckdb_holds(pipeline: Settings, files: Path, tmp_path: Path) -> None:
    ours = load_settings(data_dir=tmp_path / "embedded")
    embedded, snowflake = open_warehouse(ours), open_warehouse(pipeline)
    for _ in range(2):
        # Loaded again, it replaces itself.
        for settings in (ours, pipeline):
            history.load(settings, files)
    expected = rows_of(embedded, embedded)
    assert all(expected.values())
    assert rows_of(snowflake, embedded) == expected
    assert SnowflakeStage(pipeline).entries(STAGE) == []


def test_each_load_has_one_stamp_later_than_the_last(pipeline: Settings, files: Path) -> None:
    warehouse = open_warehouse(pipeline)
    stamps = []
    for _ in range(2):
        history.load(pipeline, files)
        found = {
            stamp
            for table in RAW_TABLES
            for (stamp,) in warehouse.execute(f"select distinct _loaded_at from {table.location}")
        }
        assert len(found) == 1
        stamps.append(found.pop())
        assert warehouse.execute("select loaded_at from raw_ext.last_history") == [(stamps[-1],)]
        warehouse.execute("update adventure_db.vendor_prod_db set _loaded_at = '2099-01-01'::timestamp_ntz")
    assert stamps[1].year == 2099


def test_a_file_that_does_not_fit_changes_nothing(pipeline: Settings, files: Path) -> None:
    history.load(pipeline, files)
    next(files.glob("vendor_prod_db.*")).unlink()
    with pytest.raises(ConfigError, match="has no file for vendor_prod_db"):
        history.load(pipeline, files)
    assert open_warehouse(pipeline).execute("select count(*) > 0 from adventure_db.vendor_prod_db") == [(True,)]


def test_a_stage_that_is_emptied_meanwhile_changes_nothing(
    pipeline: Settings, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.load(pipeline, files)
    warehouse = open_warehouse(pipeline)
    before = [warehouse.execute(f"select count(*) from {table.location}") for table in RAW_TABLES]
    copy = HistoryInSnowflake._copy

    def emptied(self: HistoryInSnowflake, connection: Any, load: str, staged: Any) -> None:
        stage = SnowflakeStage(pipeline)
        stage._remove(STAGE, f"{load}-vendor_prod_db", "part-00000.parquet")
        copy(self, connection, load, staged)

    monkeypatch.setattr(HistoryInSnowflake, "_copy", emptied)
    with pytest.raises(StageDamaged, match=r"The history was not loaded: .*vendor_prod_db.* gave 0 of .* rows"):
        history.load(pipeline, files)
    assert [warehouse.execute(f"select count(*) from {table.location}") for table in RAW_TABLES] == before


def test_at_the_budget_nothing_is_loaded(pipeline: Settings, files: Path) -> None:
    with connect_snowflake(pipeline) as connection:
        connection.cursor().execute("update account.resource_monitors set used_credits = 5")
    with pytest.raises(CreditBudgetReached):
        history.load(pipeline.model_copy(update={"credit_budget": 5.0}), files)


def test_large_tables_go_in_several_files(pipeline: Settings, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adventure.demo.history.into_snowflake.ROWS_A_FILE", 60)
    history.load(pipeline, files)
    found = open_warehouse(pipeline).execute("select count(distinct _file_row), count(*) from ecom.sales_order_raw")
    assert found == [(ROWS, ROWS)]
