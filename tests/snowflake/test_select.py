"""`adventure query` on Snowflake: the published tables, and nothing but a query."""

import json

import pytest
from typer.testing import CliRunner, Result

from adventure.cli import app
from adventure.core.errors import AdventureError
from adventure.core.settings import Settings
from adventure.destinations.select import Bounds
from adventure.destinations.snowflake.session import connect_snowflake
from adventure.factory import select as run_select
from tests.test_json_output import assert_documented


@pytest.fixture
def published(snowflake_settings: Settings) -> Settings:
    """A schema DASHBOARD with one table of 30 sales, published on 2 January."""
    with connect_snowflake(snowflake_settings, schema="DASHBOARD") as connection, connection.cursor() as cursor:
        cursor.execute("create or replace table publication as select timestamp '2026-01-02 03:04:05' as built_at")
        cursor.execute(
            "create or replace table sales (id integer, price number(10,2), name varchar, placed_at timestamp)"
        )
        for number in range(30):
            cursor.execute(f"insert into sales values ({number}, 0.10, 'a', timestamp '2026-01-01 00:00:00')")
    return snowflake_settings


def rows(settings: Settings, statement: str, limit: int = 100) -> list[list[object]]:
    return run_select(settings, statement, Bounds(limit)).rows


def test_the_answer_has_columns_types_and_exact_values(published: Settings) -> None:
    found = run_select(published, "select id, price, name, placed_at, null as none from sales order by id", Bounds(2))
    assert [each["name"] for each in found.columns] == ["id", "price", "name", "placed_at", "none"]
    assert [each["type"] for each in found.columns][1:4] == ["NUMBER(10,2)", "VARCHAR", "TIMESTAMP_NTZ"]
    assert found.rows[1] == [1, "0.10", "a", "2026-01-01T00:00:00", None]
    assert (len(found.rows), found.is_complete) == (2, False)
    assert str(found.published_at) == "2026-01-02 03:04:05"


@pytest.mark.parametrize(
    "statement",
    [
        "select count(*) as n from sales;",
        """select count(*) as n from sales where name <> ');' and "NAME" <> $$)$$ /* ) */ and name <> 'it''s ->>'""",
        "select count(*) as n from sales -- all of them",
        "with all_sales as (select * from sales) select count(*) as n from all_sales",
    ],
)
def test_a_query_may_have_any_form(published: Settings, statement: str) -> None:
    assert rows(published, statement) == [[30]]


@pytest.mark.parametrize(
    "statement",
    [
        "insert into sales values (1, 1, '', null)",
        "delete from sales",
        "drop table sales",
        "create table t as select 1 as n",
        "select 1; drop table sales",
        "select 1) ; drop table sales; select * from (select 1",
        "select 1) ->> drop table sales ->> select * from (select 1",
        "select system$cancel_all_queries(1)",
        "select SYSTEM$ABORT_SESSION(1)",
        'select "SYSTEM$ABORT_SESSION"(1)',
        "select 1 --\r) ->> drop table sales ->> select * from (select 1",
        "select 'a') limit 1 union all (select '",
        r"select 'it\'s') ; drop table sales; select ('",
        "",
    ],
)
def test_what_is_no_query_is_refused_and_changes_nothing(published: Settings, statement: str) -> None:
    with pytest.raises(AdventureError):
        rows(published, statement)
    assert rows(published, "select count(*) from sales") == [[30]]


def test_the_command_prints_it(published: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adventure.cli.query.settings_of", lambda _: published)

    def query(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["query", "select price from sales", "--limit", "1", *arguments])

    assert query("--csv").stdout.startswith("price\n0.10\n")
    found = json.loads(query("--json").stdout.partition("\n2026")[0])
    assert found["rows"] == [["0.10"]]
    assert_documented(found | {"rows": [[1]]}, "adventure query")


def test_an_error_of_sql_is_one_sentence(published: Settings) -> None:
    with pytest.raises(AdventureError, match="PRIZE") as found:
        rows(published, "select prize from sales")
    assert "\n" not in str(found.value)
