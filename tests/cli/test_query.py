"""`adventure query` answers one SELECT on the published tables, whatever the tasks are doing, and cannot write."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest
from typer.testing import CliRunner, Result

from adventure.cli import app
from adventure.core.environment import load_settings
from adventure.core.errors import AdventureError
from adventure.core.settings import Settings
from adventure.destinations.duckdb.connection import connect
from tests.test_json_output import assert_documented
from tests.waiting import until


@pytest.fixture
def settings(empty_folder: Path) -> Settings:
    """Settings of a folder with one published table of 1,500 sales."""
    made = load_settings()
    made.data_dir.mkdir()
    with duckdb.connect(str(made.published_path)) as connection:
        connection.execute(
            "create table sales as select range as id, 0.10::decimal(10,2) as price, 'a,\"b\"' as name from range(1500)"
        )
    (empty_folder / "secret.csv").write_text("password\nhunter2\n")
    return made


def query(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["query", *arguments])


def refusal(statement: str) -> str:
    """Return the one sentence with which the statement is refused."""
    done = query(statement)
    assert isinstance(done.exception, AdventureError), done.output
    sentence = str(done.exception)
    assert "\n" not in sentence
    assert done.stdout == ""
    return sentence


def test_a_table_csv_and_json_have_the_same_rows(settings: Settings) -> None:
    statement = "select id, price, name, null as none, [1, 2] as list from sales order by id limit 2"
    lines = query(statement, "--csv").stdout.splitlines()
    assert lines == ["id,price,name,none,list", *(f'{n},0.10,"a,""b""",,"[1, 2]"' for n in (0, 1))]
    assert " ".join(query(statement).stdout.split()).endswith('1 0.10 a,"b" NULL [1, 2]')
    found = json.loads(query(statement, "--json").stdout)
    assert found["rows"][1] == [1, "0.10", 'a,"b"', None, [1, 2]]
    assert found["columns"][1] == {"name": "price", "type": "DECIMAL(10,2)"}
    assert_documented(found | {"rows": [[1]]}, "adventure query")


def test_rows_are_limited_and_a_warning_says_so(settings: Settings) -> None:
    whole, some = query("from sales", "--limit", "1500", "--csv"), query("from sales", "--csv")
    assert (whole.stdout.count("\n"), some.stdout.count("\n")) == (1501, 1001)
    assert "the first 1,000 rows; --limit sets how many" in some.stderr
    assert "--limit" not in whole.stderr


def test_a_build_that_has_the_warehouse_is_not_waited_for(settings: Settings) -> None:
    with connect(settings.duckdb_path):
        assert query("select count(*) as sales from sales", "--csv").stdout == "sales\n1500\n"


@pytest.mark.parametrize(
    "statement",
    [
        "insert into sales values (1, 1, '')",
        "create table t as select 1",
        "attach '{folder}/other.duckdb'",
        "copy sales to '{folder}/out.csv'",
        "install httpfs",
        "load httpfs",
        "set lock_configuration = false",
        "select * from read_csv('{folder}/secret.csv')",
        "select 1; drop table sales",
        "pragma enable_profiling",
    ],
)
def test_a_statement_that_writes_or_reads_other_files_is_refused(settings: Settings, statement: str) -> None:
    folder = Path.cwd()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert "hunter2" not in refusal(statement.format(folder=folder))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("selec 1", 'The statement failed: syntax error at or near "selec".'),
        ("select prize from sales", 'The statement failed: Referenced column "prize" not found'),
        (
            "from orders",
            "The statement failed: Table with name orders does not exist! .*The published tables are: sales",
        ),
        ("select 1 / 'x' from sales", "The statement failed: Could not convert string 'x' to "),
        ("", "Only one SELECT statement can be run. Send one SELECT."),
    ],
)
def test_an_error_of_sql_is_one_sentence(settings: Settings, statement: str, sentence: str) -> None:
    assert re.match(sentence, refusal(statement)), refusal(statement)


def test_before_the_first_build_a_sentence_says_what_to_do(empty_folder: Path) -> None:
    assert "Run `adventure build` first" in refusal("select 1")


def test_ctrl_c_ends_a_long_statement(settings: Settings) -> None:
    endless = "select count(*) from range(10000000) a, range(10000000) b where a.range + b.range < 0"
    command = [sys.executable, "-m", "adventure", "query", endless]
    running = subprocess.Popen(command, env=os.environ | {"COLUMNS": "100"}, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: _has_open(running.pid, settings.published_path))
        prepared = _cpu_seconds(running.pid) + 1
        until(lambda: _cpu_seconds(running.pid) > prepared)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=30)
    finally:
        running.kill()
    assert (running.returncode, errors) == (130, "Interrupted. Run the command again: it repeats what was half done.\n")


def _cpu_seconds(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


def _has_open(pid: int, path: Path) -> Any:
    links = (Path("/proc") / str(pid) / "fd").iterdir()
    return any(link.is_symlink() and link.resolve() == path.resolve() for link in links)
