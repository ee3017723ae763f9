"""Ask the server for agents as an agent does: with the SDK's client, in this process, on stdio and on the loopback."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest
from mcp import Client, StdioServerParameters

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.demo.sandbox.process import free_port
from adventure.destinations.duckdb import select
from adventure.destinations.duckdb.published import close_all
from adventure.mcp import server
from adventure.mcp.server import make_server
from tests.dashboard.conftest import Shop
from tests.waiting import until

ROOT = Path(__file__).parent.parent.parent
TOOLS = {"status", "problems", "streams", "models", "model", "query"}


@pytest.fixture(autouse=True)
def _own_process() -> None:
    """The server runs in a process of its own, in which no dashboard has opened the file."""
    close_all()


@pytest.fixture
def published(tmp_path: Path) -> Settings:
    """Settings of a data folder with a published file."""
    settings = load_settings(data_dir=tmp_path / "adventure", pipeline_file=ROOT / "pipeline.toml")
    settings.data_dir.mkdir()
    with duckdb.connect(str(settings.published_path)) as connection:
        connection.execute("create table sales as select range as id, 0.10::decimal(10,2) as price from range(1500)")
    (tmp_path / "secret.csv").write_text("password\nhunter2\n")
    return settings


def ask(settings: Settings, tool: str, **arguments: Any) -> Any:
    """Return the tool's answer, which is not an error."""
    answer = call(settings, tool, **arguments)
    assert not isinstance(answer, str), answer
    return answer


def with_client(settings: Settings, use: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        async with Client(make_server(settings, load_streams(settings))) as client:
            return await use(client)

    return asyncio.run(run())


def call(settings: Settings, tool: str, **arguments: Any) -> Any:
    """Return the tool's answer; an error as text that begins with `Error`."""

    async def use(client: Client) -> Any:
        answer = await client.call_tool(tool, arguments)
        return f"Error: {answer.content[0].text}" if answer.is_error else answer.structured_content  # type: ignore[union-attr]

    return with_client(settings, use)


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_tool_says_that_it_only_reads(published: Settings) -> None:
    tools = with_client(published, lambda client: client.list_tools()).tools
    assert {tool.name for tool in tools} == TOOLS
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools)


WRITES = [
    "insert into sales values (1, 1)",
    "update sales set price = 1",
    "delete from sales",
    "truncate sales",
    "drop table sales",
    "alter table sales add column x int",
    "create table t as select 1",
    "create temp table t as select 1",
    "create or replace view v as select 1",
    "create secret s (type s3)",
    "copy sales to '{folder}/out.csv'",
    "copy sales from '{folder}/secret.csv'",
    "export database '{folder}/out'",
    "import database '{folder}'",
    "attach '{folder}/other.duckdb'",
    "attach ':memory:' as other",
    "pragma enable_profiling",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "reset memory_limit",
    "set variable x = 1",
    "call pragma_version()",
    "checkpoint",
    "vacuum",
    "begin",
    "prepare p as select 1",
    "install httpfs",
    "load httpfs",
    "force install spatial from community",
    "select * from read_csv('{folder}/secret.csv')",
    "select * from '{folder}/secret.csv'",
    "select * from read_text('{folder}/secret.csv')",
    "select * from read_blob('/etc/passwd')",
    "select * from glob('{folder}/*')",
    "select * from read_csv('http://127.0.0.1:9/x.csv')",
    "select * from query('copy sales to ''{folder}/out.csv''')",
    "select 1; drop table sales",
    "drop table sales; select 1",
    "with gone as (delete from sales returning *) select * from gone",
    "explain analyze insert into sales values (1, 1)",
    "",
    "-- nothing",
    "selec",
]


@pytest.mark.parametrize("statement", WRITES)
def test_a_statement_that_writes_or_reads_other_files_is_refused(
    published: Settings, tmp_path: Path, statement: str
) -> None:
    before = contents(tmp_path)
    answer = call(published, "query", statement=statement.format(folder=tmp_path))
    assert isinstance(answer, str)
    assert answer.startswith("Error: ")
    assert "hunter2" not in answer
    assert contents(tmp_path) == before


def test_the_connection_alone_refuses_what_a_select_could_reach(published: Settings) -> None:
    """The check of the statement's type is not what the promise rests on."""
    with select._opened(published.published_path) as connection:
        for statement in (
            "insert into sales values (1, 1)",
            "attach '/tmp/x.duckdb'",
            "set threads = 2",
            "load httpfs",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)


def test_rows_are_limited_and_the_answer_says_so(published: Settings) -> None:
    assert [len(call(published, "query", statement="from sales", limit=n)["rows"]) for n in (1, 100, 9999)] == [
        1,
        100,
        server.MOST_ROWS,
    ]
    assert call(published, "query", statement="from sales", limit=5)["is_complete"] is False
    assert call(published, "query", statement="select count(*) from sales")["is_complete"] is True


def test_long_texts_are_limited(published: Settings) -> None:
    answer = call(published, "query", statement="select repeat('x', 50000) as long from sales")
    assert len(answer["rows"]) < 5
    assert answer["is_complete"] is False


def test_a_statement_that_runs_too_long_is_stopped(published: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_SECONDS", 0.2)
    endless = "select count(*) from range(1000000) a, range(1000000) b where a.range + b.range < 0"
    assert "was stopped" in call(published, "query", statement=endless)


def test_decimals_are_text_and_times_are_iso(published: Settings) -> None:
    statement = "select price, timestamp '2026-01-02 03:04:05' as at, null as none, [1, 2] as list from sales"
    answer = call(published, "query", statement=statement, limit=1)
    assert answer["rows"] == [["0.10", "2026-01-02T03:04:05", None, [1, 2]]]
    assert answer["columns"][0] == {"name": "price", "type": "DECIMAL(10,2)"}


def test_before_the_first_build_the_answer_names_the_command(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, pipeline_file=ROOT / "pipeline.toml")
    for tool, arguments in (("query", {"statement": "select 1"}), ("models", {}), ("model", {"name": "x"})):
        assert "adventure build" in call(settings, tool, **arguments)


def test_a_warehouse_without_a_published_file_says_so(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, pipeline_file=ROOT / "pipeline.toml", warehouse="snowflake")
    assert "WAREHOUSE=snowflake publishes no file" in call(settings, "query", statement="select 1")


def test_the_answers_are_those_of_the_pipeline(shop: Shop) -> None:
    status = ask(shop.reader, "status")
    assert {each["stream"]: each["rows_loaded"] for each in status["streams"]}["orders"] == len(shop.orders())
    assert ask(shop.reader, "problems")["problems"] == status["problems"]
    listed = ask(shop.reader, "streams")["streams"]
    assert [each["stream"] for each in listed] == [stream.name for stream in shop.streams]
    orders = ask(shop.reader, "query", statement="select sum(orders) from sales_by_hour")
    expected = shop.history("select sum(orders) from dbt_prod.sales_by_hour")
    assert orders["rows"] == [list(expected[0])]


def test_the_models_have_described_columns(shop: Shop) -> None:
    models = {each["model"]: each for each in ask(shop.reader, "models")["models"]}
    assert models["sales_by_hour"]["is_published"]
    assert not models["fct_sales_order_lines"]["is_published"]
    columns = ask(shop.reader, "model", name="sales_by_hour")["columns"]
    published = ask(shop.reader, "query", statement="select * from sales_by_hour", limit=1)["columns"]
    assert {each["name"] for each in columns} == {each["name"] for each in published}
    assert all(each["description"] and each["type"] for each in columns)
    assert "Choose one of: " in call(shop.reader, "model", name="nothing")


def environment(settings: Settings) -> dict[str, str]:
    return os.environ | {"DATA_DIR": str(settings.data_dir), "PIPELINE_FILE": str(ROOT / "pipeline.toml")}


def test_the_command_serves_on_stdio(published: Settings) -> None:
    server = StdioServerParameters(command=sys.executable, args=["-m", "adventure", "mcp"], env=environment(published))

    async def ask() -> Any:
        async with Client(server) as client:
            return await client.call_tool("query", {"statement": "select count(*) from sales"})

    assert asyncio.run(ask()).structured_content["rows"] == [[1500]]


def test_the_command_serves_on_the_loopback_only(published: Settings) -> None:
    port = free_port(None)
    command = [sys.executable, "-m", "adventure", "mcp", "--port", str(port)]
    server = subprocess.Popen(command, env=environment(published))
    try:
        until(lambda: bool(listening(server.pid)))
        assert listening(server.pid) == {("127.0.0.1", port)}

        async def ask() -> Any:
            async with Client(f"http://127.0.0.1:{port}/mcp") as client:
                return await client.call_tool("query", {"statement": "select count(*) from sales"})

        assert asyncio.run(ask()).structured_content["rows"] == [[1500]]
    finally:
        server.terminate()
        server.wait()


def listening(pid: int) -> set[tuple[str, int]]:
    connections = psutil.Process(pid).net_connections("inet")
    return {(each.laddr.ip, each.laddr.port) for each in connections if each.status == psutil.CONN_LISTEN}
