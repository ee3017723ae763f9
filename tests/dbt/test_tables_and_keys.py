"""The project's own way to make tables, and its tests of keys, in a small project with the shipped macros."""

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import BuildFailed
from adventure.destinations.common import build
from adventure.destinations.common.selection import LoadedTables
from tests.dbt.conftest import DBT

PROJECT = """
name: small
profile: adventure
data_tests: {small: {+severity: warn}}
"""
PROFILE = """
adventure:
  outputs:
    duckdb: {type: duckdb, path: "{{ env_var('ADVENTURE_DUCKDB_PATH') }}", schema: made, threads: 2}
"""
KEYS = {
    "different": ("(1, 1), (2, 2)", 0),
    "twice": ("(1, 1), (1, 2), (2, 2)", 1),
    "null_once": ("(1, 1), (null, 2)", 1),
    "null_twice_and_twice": ("(1, 1), (1, 2), (null, 1), (null, 2)", 2),
}
"""Models: their rows of key and load, and the number of keys that are wrong."""

Run = Callable[[], Callable[[str], list[tuple[object, ...]]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project without models."""
    made = tmp_path / "project"
    (made / "models").mkdir(parents=True)
    names = ("macros/table", "macros/incremental", "macros/time", "macros/data_tests")
    for name in (*names, "tests/generic/primary_key", "tests/generic/primary_key_latest"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DBT / f"{name}.sql", (made / name).parent)
    (made / "dbt_project.yml").write_text(PROJECT)
    (made / "profiles.yml").write_text(PROFILE)
    return made


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Run:
    """Build the project; return a function that queries what was made."""
    settings = load_settings(data_dir=tmp_path / "data", dbt_dir=folder)
    path = tmp_path / "data" / "small.duckdb"

    def query(statement: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(path)) as connection:
            return connection.execute(statement).fetchall()

    def built() -> Callable[[str], list[tuple[object, ...]]]:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager

        tables = LoadedTables(frozenset(), frozenset())
        environment = {"ADVENTURE_DUCKDB_PATH": str(path)}
        try:
            build.run_dbt_build(settings, "whole", tables, target="duckdb", environment=environment)
        finally:
            DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
        return query

    return built


@pytest.mark.slow
def test_a_table_replaces_what_had_its_name_and_a_failure_replaces_nothing(folder: Path, run: Run) -> None:
    model = folder / "models" / "thing.sql"
    reader = folder / "models" / "reader.sql"
    reader.write_text("{{ config(materialized='view') }} select number from {{ ref('thing') }}")
    model.write_text("{{ config(materialized='view') }} select 1 as number")
    query = run()
    for number in (2, 3):
        model.write_text(f"{{{{ config(materialized='table') }}}} select {number} as number")
        run()
        assert query("select number from made.reader") == [(number,)]
    model.write_text("{{ config(materialized='table') }} select cast('four' as integer) as number")
    with pytest.raises(BuildFailed, match=r"model thing failed.*four"):
        run()
    assert query("select number from made.reader") == [(3,)]
    assert query("select table_name, table_type from information_schema.tables order by all") == [
        ("reader", "VIEW"),
        ("thing", "BASE TABLE"),
    ]


INCREMENTAL = """
{{{{ config(materialized='incremental', unique_key='key', incremental_strategy='replace', on_schema_change='fail') }}}}
{rows}
{{% if is_incremental() %}} where key > (select max(key) - 1 from {{{{ this }}}}) {{% endif %}}
"""
CONTRACT = """
models:
  - name: thing
    config: {contract: {enforced: true}}
    columns: [{name: key, data_type: integer}, {name: _loaded_at, data_type: varchar}]
"""


@pytest.mark.slow
def test_an_increment_adds_and_replaces_rows_or_changes_nothing(folder: Path, run: Run) -> None:
    model = folder / "models" / "thing.sql"
    (folder / "models" / "thing.yml").write_text(CONTRACT)

    def write(*rows: str, columns: str = "key, _loaded_at") -> None:
        values = f"select {columns} from (values {', '.join(rows)}) as made (key, _loaded_at)"
        model.write_text(INCREMENTAL.format(rows=values))

    model.write_text("{{ config(materialized='view') }} select 1 as key, 'view' as _loaded_at")
    query = run()
    write("(1, 'a')", "(2, 'b')")
    run()
    assert query("from made.thing order by all") == [(1, "a"), (2, "b")], "the view has made room for a table"
    write("(1, 'not read')", "(2, 'c')", "(3, 'd')")
    run()
    assert query("from made.thing order by all") == [(1, "a"), (2, "c"), (3, "d")]
    refused = {
        "key + 0.5 as key, _loaded_at": r"model thing failed.*contract",
        "key, _loaded_at, 1 as more": r"model thing failed.*contract",
        "key + cast('five' as integer) as key, _loaded_at": r"model thing failed.*five",
    }
    for columns, reason in refused.items():
        write("(3, 'e')", columns=columns)
        with pytest.raises(BuildFailed, match=reason):
            run()
    (folder / "models" / "thing.yml").unlink()
    write("(3, 'e')", columns="key, _loaded_at, 1 as more")
    with pytest.raises(BuildFailed, match=r"model thing failed.*out of sync"):
        run()
    assert query("from made.thing order by all") == [(1, "a"), (2, "c"), (3, "d")]
    assert query("select table_name from information_schema.tables") == [("thing",)]
    write("(3, null)", "(4, 'e')")
    run()
    assert query("from made.thing order by all") == [(1, "a"), (2, "c"), (4, "e")], "rows without a stamp are removed"


@pytest.mark.slow
@pytest.mark.parametrize("test", ["primary_key", "primary_key_latest"])
def test_keys_that_are_null_or_occur_twice_fail(folder: Path, run: Run, tmp_path: Path, test: str) -> None:
    lines = ["models:"]
    for name, (rows, _) in KEYS.items():
        text = f"select key, to_timestamp(load) as _loaded_at from (values {rows}) as made (key, load)"
        (folder / "models" / f"{name}.sql").write_text(text)
        tests = f"[{{{test}: {{name: of_{name}, config: {{store_failures: true}}}}}}]"
        lines += [f"  - name: {name}", "    columns:", "      - name: key", f"        data_tests: {tests}"]
    (folder / "models" / "keys.yml").write_text("\n".join(lines))
    query = run()
    wrong = {name: count for name, (_, count) in KEYS.items() if count}
    audit = "made_dbt_test__audit"
    assert {
        name: len(query(f"select * from {audit}.of_{name}"))
        for (name,) in query(f"select table_name[4:] from information_schema.tables where table_schema = '{audit}'")
    } == wrong
    assert query(f"select key, occurrences from {audit}.of_null_twice_and_twice order by all") == [(1, 2), (None, 2)]
