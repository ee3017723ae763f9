"""Test where the unpatched emulator differs from Snowflake; a test fails when a patch is no longer needed.

Each divergence is tried in one process without patches. Where the emulator answers as Snowflake does, remove its patch.
"""

import json
import subprocess
import sys
from typing import Any

import pytest

TIMEOUT_SEC = 120
_PROBES = r"""
import json, tempfile
from pathlib import Path
import fakesnow, snowflake.connector

def rows(cursor, *statements):
    for statement in statements:
        cursor.execute(statement)
    return cursor.fetchall()

def copied(cursor, name, selected):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{name}.json")
        file.write_text('{"a": "b"}\\n')
        return rows(
            cursor,
            f"create table {name} (a varchar)",
            f"create stage {name}",
            f"put 'file://{file}' @{name}",
            f"copy into {name} from (select {selected} from @{name}) file_format = (type = json)",
            f"select a from {name}",
        )

def loaded(cursor, option):
    name = option.replace(" = ", "_")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{name}.csv")
        file.write_text("1\n")
        copy = f"copy into {name} from @{name} file_format = (type = csv) {option}"
        rows(cursor, f"create table {name} (a int)", f"create stage {name}", f"put 'file://{file}' @{name}", copy)
        listed = len(rows(cursor, f"list @{name}"))
        rows(cursor, copy) if listed else None
        return [rows(cursor, f"select count(*) from {name}")[0][0], listed]

NUMBER = "parse_json('{\"a\": 12345678901234567890.123456789}')"
PROBES = {
    "force_false": lambda c: loaded(c, "force = false"),
    "purge_false": lambda c: loaded(c, "purge = false"),
    "null_timestamp": lambda c: str(rows(c, "select null::timestamp_ntz as moment")[0][0]),
    "remove": lambda c: rows(c, "create stage removed", "remove @removed"),
    "get": lambda c: rows(c, "create stage got", "get @got/file 'file:///tmp/'"),
    "qualified_temporary_table": lambda c: rows(c, "create temporary table db.s.temporary as select 1 as a"),
    "merge_of_two_rows_for_one_target": lambda c: rows(
        c,
        "create table target as select 1 as k, 0 as v",
        "create table source as select * from values (1, 1), (1, 2) as t (k, v)",
        "merge into target using source on target.k = source.k when matched then update set v = source.v",
    ),
    "copy_transformation": lambda c: copied(c, "transformed", "$1:a::varchar"),
    "copy_pattern": lambda c: loaded(c, "pattern = '.*'"),
    "copy_include_metadata": lambda c: loaded(
        c, "match_by_column_name = case_insensitive include_metadata = (a = metadata$file_row_number)"
    ),
    "copy_metadata": lambda c: copied(c, "described", "metadata$filename"),
    "as_array": lambda c: rows(c, "select as_array(parse_json('[1]'))"),
    "reduce": lambda c: rows(c, "select reduce(parse_json('[1, 2]'), 0, (total, n) -> total + n::integer)"),
    "digits": lambda c: str(rows(c, f"select try_cast(get({NUMBER}, 'a')::varchar as number(38, 9))")[0][0]),
    "null_of_json": lambda c: rows(c, "select get(parse_json('{\"a\": null}'), 'a')::varchar")[0][0],
    "hexadecimal": lambda c: rows(c, "select to_number('ff', 'XX')"),
    "grant": lambda c: rows(c, "grant usage on schema s to role r"),
    "warehouse": lambda c: rows(c, "create warehouse w warehouse_size = xsmall"),
    "role": lambda c: rows(c, "create role r"),
    "alter_stage": lambda c: rows(c, "create stage altered", "alter stage altered refresh"),
    "stream": lambda c: rows(c, "create stage watched", "create stream arrivals on stage watched"),
    "task": lambda c: rows(c, "create task t schedule = '60 minute' as select 1"),
    "replacing_clone": lambda c: rows(
        c,
        "create table cloned as select 1 as a",
        "create table clone clone cloned",
        "create or replace table clone clone cloned",
    ),
    "no_comment": lambda c: rows(
        c,
        "create transient table uncommented (a int)",
        "select comment from information_schema.tables where table_name = 'UNCOMMENTED'",
    )[0][0],
    "sum": lambda c: str(rows(c, "select sum(n) from (select 12345678901234567.123456789::number(38, 9) as n)")[0][0]),
    "current_warehouse": lambda c: rows(c, "select current_warehouse()"),
    "streamlit": lambda c: rows(c, "create streamlit app from '@files' main_file = 'app.py'"),
    "procedure": lambda c: rows(c, "create procedure p() returns varchar language sql as $$ select 1 $$", "call p()"),
}

DATABASE = ("create database d", "create schema d.s", "use schema d.s")
NULL = "select null::timestamp_ntz as moment"
found = {}
with fakesnow.patch():
    for name, probe in PROBES.items():
        cursor = snowflake.connector.connect(database="db", schema="s").cursor()
        try:
            found[name] = ["answers", probe(cursor)]
        except Exception as error:
            found[name] = ["fails", f"{type(error).__name__}: {error}"]
with fakesnow.server() as server:
    try:
        connection = snowflake.connector.connect(**server | {'network_timeout': 10})
        found["null_timestamp_over_http"] = ["answers", str(rows(connection.cursor(), *DATABASE, NULL)[0][0])]
    except Exception as error:
        found["null_timestamp_over_http"] = ["fails", f"{type(error).__name__}: {error}"]
print("\n" + json.dumps(found, default=str))
"""


@pytest.fixture(scope="module")
def unpatched() -> dict[str, list[Any]]:
    ended = subprocess.run(
        [sys.executable, "-c", _PROBES], capture_output=True, text=True, timeout=TIMEOUT_SEC, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found: dict[str, list[Any]] = json.loads(ended.stdout.splitlines()[-1])
    return found


LACKING = [
    "remove",
    "get",
    "qualified_temporary_table",
    "copy_transformation",
    "copy_pattern",
    "copy_include_metadata",
    "copy_metadata",
    "as_array",
    "reduce",
    "hexadecimal",
    "grant",
    "warehouse",
    "role",
    "alter_stage",
    "stream",
    "task",
    "replacing_clone",
    "current_warehouse",
    "streamlit",
    "procedure",
]


@pytest.mark.parametrize("statement", LACKING)
def test_the_emulator_lacks(unpatched: dict[str, list[Any]], statement: str) -> None:
    how, answer = unpatched[statement]
    assert how == "fails", f"the emulator answers {answer}"


def test_force_false_is_read_as_true(unpatched: dict[str, list[Any]]) -> None:
    how, (held, _) = unpatched["force_false"]
    assert (how, held) == ("answers", 2), "the second COPY skipped the file, as it does in Snowflake"


def test_purge_false_is_read_as_true(unpatched: dict[str, list[Any]]) -> None:
    how, (_, staged) = unpatched["purge_false"]
    assert (how, staged) == ("answers", 0), "COPY left the file, as it does in Snowflake"


def test_null_timestamps_come_as_1970_over_http(unpatched: dict[str, list[Any]]) -> None:
    assert unpatched["null_timestamp"] == ["answers", "None"]
    assert unpatched["null_timestamp_over_http"] == ["answers", "1970-01-01 00:00:00"]


def test_merge_takes_two_rows_for_one_target(unpatched: dict[str, list[Any]]) -> None:
    how, answer = unpatched["merge_of_two_rows_for_one_target"]
    assert how == "answers", f"it refuses, as Snowflake does: {answer}"


def test_numbers_of_a_variant_pass_through_doubles(unpatched: dict[str, list[Any]]) -> None:
    assert unpatched["digits"] == ["answers", "12345678901234567000.000000000"]


def test_a_transient_or_temporary_table_without_a_comment_gets_one(unpatched: dict[str, list[Any]]) -> None:
    assert unpatched["no_comment"] == ["answers", "None"]


def test_sums_are_doubles(unpatched: dict[str, list[Any]]) -> None:
    assert unpatched["sum"] == ["answers", "1.2345678901234568e+16"]


def test_a_null_of_json_is_no_null_as_text(unpatched: dict[str, list[Any]]) -> None:
    assert unpatched["null_of_json"] == ["answers", "null"]
