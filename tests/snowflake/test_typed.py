"""Snowflake's SQL in the files: its words and types. Queries with one mistake are refused."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.snowflake.typed.blocks import sequence
from tests.snowflake.typed.relations import Relations, faults_of_contract
from tests.snowflake.typed.sent import Checked, check_sent
from tests.snowflake.typed.words import faults_of_words

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "snowflake").glob("*.sql"))
QUERIES = sorted((ROOT / "adventure" / "destinations" / "snowflake" / "queries").glob("*.sql"))

TABLES = """
create table orders (
    order_id varchar, customer_id number(38, 0), amount number(38, 9), is_online boolean, placed_at timestamp_ntz(6),
    placed_on date, raw variant
);
"""
# A query, the same with one mistake, and the complaint. A text without FROM becomes column c. Snowflake refuses most of
# the mistakes; it takes the mixed families, the time with a zone, the path and the contracts, and converts silently.
MUTANTS = {
    "try_cast of a number": ("try_cast(order_id as integer)", "try_cast(customer_id as integer)", "takes text only"),
    "try_cast of a VARIANT": (
        "try_cast(get(raw, 'a')::varchar as integer)",
        "try_cast(get(raw, 'a') as integer)",
        "takes text only",
    ),
    "try_cast to a VARIANT": ("try_parse_json(order_id)", "try_cast(order_id as variant)", "cannot make a variant"),
    "try_to_ of a date": (
        "try_to_timestamp_ntz(order_id, 'YYYY')",
        "try_to_timestamp_ntz(placed_on, 'YYYY')",
        "takes text only",
    ),
    "strftime": ("to_char(placed_at, 'YYYY')", "strftime(placed_at, '%Y')", "strftime is not in the list"),
    "regexp_matches": (
        "regexp_like(order_id, 'a')",
        "regexp_matches(order_id, 'a')",
        "regexp_matches is not in the list",
    ),
    "list_value": ("array_construct(1, 2)", "list_value(1, 2)", "list_value is not in the list"),
    "json_extract_string": (
        "get(raw, 'a')::varchar",
        "json_extract_string(raw, '$.a')",
        "json_extract_string is not in the list",
    ),
    "argument by :=": ("object_construct('a', amount)", "object_construct(a := amount)", "names an argument with =>"),
    "reserved alias": (
        "select 1 as c from orders",
        "select 1 as rows from orders",
        "column rows: rows is a reserved word",
    ),
    "reserved name of a table": (
        "select c.amount as c from orders as c",
        "select c.amount as c from order as c",
        "reserved",
    ),
    "path without quotes": ('raw:"Name"::varchar', "raw:Name::varchar", "the path :Name is not quoted"),
    "hugeint": ("amount::integer", "amount::hugeint", "hugeint is not a type"),
    "list of a type": ("raw::array", "raw::varchar[]", "varchar[] is not a type"),
    "interval of a number": ("placed_at + interval '1 day'", "placed_at + interval 1 day", "INTERVAL in quotes"),
    "distinct on": (
        "select distinct order_id as c from orders",
        "select distinct on (order_id) amount as c from orders",
        "no DISTINCT ON",
    ),
    "sum of a boolean": ("count_if(is_online)", "sum(is_online)", "adds up a boolean"),
    "number beside text": ("customer_id = 11000", "customer_id = order_id", "mixes"),
    "boolean beside number": ("is_online = true", "is_online = 1", "mixes"),
    "choice of families": ("coalesce(customer_id, 0)", "coalesce(customer_id, 'none')", "mixes"),
    "cases of families": (
        "case when is_online then 'a' else order_id end",
        "case when is_online then amount else order_id end",
        "mixes",
    ),
    "union of families": (
        "select amount as c from orders union all select null from orders",
        "select amount as c from orders union all select order_id as c from orders",
        "mixes",
    ),
    "list of families": ("order_id in ('1', '2')", "order_id in (1, 2)", "mixes"),
    "time with a zone": ("placed_at < sysdate()", "placed_at < current_timestamp()", "mixes"),
    "difference of times": ("datediff('day', placed_on, placed_at)", "placed_at - placed_at", "computes with"),
    "truncated text": ("date_trunc('day', placed_at)", "date_trunc('day', order_id)", "takes a time"),
    "member of a text": ("get(raw, 'a')", "get(order_id, 'a')", "takes a VARIANT"),
    "rows of a text": (
        "select f.value as c from orders, lateral flatten(input => orders.raw) as f",
        "select f.value as c from orders, lateral flatten(input => orders.order_id) as f",
        "takes a VARIANT",
    ),
    "unknown column": ("amount", "amounts", "AMOUNTS"),
    "contract of scale 9": ("amount", "amount * amount", "it is a number with scale 12"),
    "contract of an exact number": ("round(amount, 9)", "power(amount, 2)", "it is a float"),
}


@pytest.fixture(scope="module")
def relations() -> Relations:
    made = Relations()
    made.run_script("tables", TABLES)
    return made


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_query_with_one_mistake_is_refused(relations: Relations, mutant: str) -> None:
    good, bad, told = MUTANTS[mutant]
    contract = {"c": "decimal(38,9)"} if "contract" in mutant else {}
    assert _faults(relations, good, contract) == []
    faults = _faults(relations, bad, contract)
    assert any(fault.startswith("my_model") and told in fault for fault in faults), faults
    named = {"reserved name of a table": "order", "reserved alias": "rows", "rows of a text": "order_id"}.get(
        mutant, "c"
    )
    assert any(re.search(rf"(column|line 1:) {named}\b|AMOUNTS", fault) for fault in faults), faults


SENT = {
    "column that the table lacks": (
        'copy into orders (order_id) from (select $1:"a"::varchar from @files)',
        'copy into orders (order_no) from (select $1:"a"::varchar from @files)',
        "the table has no column order_no",
    ),
    "unknown table": (
        "insert into orders (order_id) select order_id from orders",
        "insert into order_list (order_id) select order_id from orders",
        "there is no such table",
    ),
    "text into a number": (
        "insert into orders (customer_id) select customer_id from orders",
        "insert into orders (customer_id) select order_id from orders",
        "column customer_id: it is a text, and the table has a number",
    ),
    "digits that are lost": (
        "insert into orders (amount) select amount from orders",
        "insert into orders (customer_id) select amount from orders",
        "it is a number with scale 9, and the table has a number with scale 0",
    ),
    "one column too many": (
        "insert into orders (order_id, amount) select order_id, amount from orders",
        "insert into orders (order_id) select order_id, amount from orders",
        "it writes 2 columns into 1",
    ),
    "deletes by another family": (
        "delete from orders as o where o.order_id in (select order_id from orders)",
        "delete from orders as o where o.order_id in (select customer_id from orders)",
        "mixes",
    ),
    "updates with another family": (
        "update orders set amount = customer_id where order_id = ?",
        "update orders set amount = order_id where order_id = ?",
        "column amount: it is a text",
    ),
    "a table that is not what it declares": (
        "create or replace transient table t (n decimal(38, 9)) as (select amount as n from orders)",
        "create or replace transient table t (n varchar) as (select amount as n from orders)",
        "column n: it is a number with scale 9, and the contract says VARCHAR",
    ),
    "a statement that nobody knows": ("select 1 as one from orders", "pragma table_info('orders')", "do not know"),
}
"""A statement as it is sent, the same with one mistake, and the complaint."""


@pytest.mark.parametrize("mutant", SENT)
def test_a_statement_that_is_sent_with_one_mistake_is_refused(mutant: str) -> None:
    good, bad, told = SENT[mutant]
    assert check_sent([TABLES, good], Relations()).faults == []
    faults = check_sent([TABLES, bad], Relations()).faults
    assert any(told in fault for fault in faults), faults


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_words_of_the_files_are_those_of_snowflake(script: Path) -> None:
    texts = list(_texts(script))
    assert [fault for name, text in texts for fault in faults_of_words(name, text)] == []


def test_the_sql_in_the_procedure_is_read() -> None:
    texts = [text for _, text in _texts(ROOT / "snowflake" / "3_load_stages.sql")]
    for begin in ("insert into raw_ext.load_history", "copy into", "remove @", "$1:", "split_part("):
        assert any(text.startswith(begin) for text in texts), begin


@pytest.mark.parametrize("query", QUERIES, ids=lambda path: path.name)
def test_the_validation_queries_resolve(query: Path) -> None:
    relations, text = Relations(), query.read_text(encoding="utf-8")
    columns = set(re.findall(r"count\((\w+)\)|orders\.(\w+)", text))
    names = {name for pair in columns for name in pair if name} - {"order_date", "order_details"}
    known = dict.fromkeys(sorted(names), "varchar") | {"order_date": "timestamp_ntz", "order_details": "array"}
    relations.add("dbt_prod.stg_ecom__sales_orders", known)
    found, faults = relations.check(query.name, text)
    assert faults + faults_of_words(query.name, text) == []
    assert {"PERIOD", "ORDERS", "ORDER_QTY" if "lines" in query.name else "PERIOD"} <= set(found)


@pytest.mark.parametrize("script", ["2_raw_tables.sql", "load_stages.sql"])
def test_the_views_of_the_files_resolve(script: str) -> None:
    text = (ROOT / "snowflake" / script).read_text(encoding="utf-8")
    assert (
        Relations().run_script(
            script, re.sub(r"create or replace (?:task|procedure)[^;]*?(?:\$\$.*?\$\$)?;", "", text, flags=re.DOTALL)
        )
        == []
    )


SCHEMAS = {"load_stages.sql": (), "build_in_snowflake.sql": ("2_raw_tables.sql", "5_dashboard.sql")}
"""The files with bodies of SQL, and the files whose tables each needs."""


def check_file(name: str, edits: dict[str, str] | None = None) -> Checked:
    """Type what a file runs, and what its tasks and procedures run."""
    relations, text = Relations(), (ROOT / "snowflake" / name).read_text(encoding="utf-8")
    for other in SCHEMAS[name]:
        before = (ROOT / "snowflake" / other).read_text(encoding="utf-8")
        assert check_sent(sequence(before), relations).faults == []
    for old, new in (edits or {}).items():
        assert old in text, old
        text = text.replace(old, new)
    return check_sent(sequence(text), relations)


BODIES = {
    "load_stages.sql": {
        "delete from staged_windows": 3,
        "update arrived": 3,
        "insert into load_history": 3,
        "insert into orders_raw": 1,
        "insert into order_details_raw": 1,
        "insert into chat_logs_raw": 1,
        "insert into variables (patterns)": 3,
    },
    "build_in_snowflake.sql": {
        "insert into seen_loads": 1,
        "create or replace table dashboard.publication": 1,
        "insert into raw_ext.task_history": 1,
    },
}
"""The statements that the tasks and procedures run and that are typed, by their begin."""


@pytest.mark.parametrize("name", BODIES)
def test_what_tasks_and_procedures_run_has_snowflakes_words_and_types(name: str) -> None:
    checked = check_file(name)
    assert checked.faults == []
    assert {begin: sum(text.startswith(begin) for text in checked.typed) for begin in BODIES[name]} == BODIES[name]
    assert set(checked.untyped) <= {"a stage's columns", "the account's own views"}


MUTANTS_OF_BODIES = {
    "count beside a name": ("a.row_count = f.rows_promised", "a.row_count = f.file", "mixes"),
    "a column that is not left out": (
        "exclude (rows_loaded, is_data_only)",
        "exclude (rows_loaded)",
        "it writes 16 columns into 15",
    ),
    "a column of another name": ("where f.rows_loaded is null", "where f.rows_held is null", "ROWS_HELD"),
    "time with a zone": (
        "convert_timezone('UTC', current_timestamp())::timestamp_ntz(6)",
        "current_timestamp()",
        "column _loaded_at: it is a timestamp with a zone",
    ),
    "time beside a text": ("arrived._loaded_at = l.loaded_at", "arrived._loaded_at = l.file", "mixes"),
    "sum of a boolean": (
        "count_if(coalesce(rows_loaded, -1) <> rows_promised)",
        "sum(coalesce(rows_loaded, -1) <> rows_promised)",
        "adds up a boolean",
    ),
    "another warehouse's function": ("select listagg(pattern, '|')", "select string_agg(pattern, '|')", "string_agg"),
    "a number into a text variable": ("select listagg(pattern, '|')", "select count(pattern)", "column patterns"),
    "a table that is not there": ("insert into load_history\n", "insert into load_ledger\n", "no such table"),
    "columns of another table": (
        "create or replace temporary table arrived as select * from order_details_raw",
        "create or replace temporary table arrived as select * from orders_raw",
        "it writes 29 columns into 14",
    ),
    "stream without the column": ("select file from loads", "select relative_path from loads", "RELATIVE_PATH"),
    "text into a number": ("'succeeded', 0, 0, ''", "'succeeded', '0', 0, ''", "mixes"),
    "condition of families": ("coalesce(state, '') <> 'SUCCESS'", "coalesce(state, 0) <> 'SUCCESS'", "mixes"),
    "text into a time": ("'build', :begun, :ended", "'build', :begun, :state", "mixes"),
}
"""A part of a body, the same with one mistake, and the complaint."""


@pytest.mark.parametrize("mutant", MUTANTS_OF_BODIES)
def test_a_body_with_one_mistake_is_refused(mutant: str) -> None:
    good, bad, told = MUTANTS_OF_BODIES[mutant]
    (name,) = [each for each in SCHEMAS if good in (ROOT / "snowflake" / each).read_text(encoding="utf-8")]
    faults = check_file(name, {good: bad}).faults
    assert any(told in fault for fault in faults), faults


def _faults(relations: Relations, text: str, contract: dict[str, str]) -> list[str]:
    query = text if " from " in text else f"select {text} as c from orders"
    found, faults = relations.check("my_model", query)
    return (
        faults
        + faults_of_words("my_model", query)
        + (faults_of_contract("my_model", found, contract) if contract else [])
    )


def _texts(script: Path) -> Iterator[tuple[str, str]]:
    """The file without the bodies between dollars, each body of SQL, and the strings of SQL in a body of Python."""
    text = script.read_text(encoding="utf-8")
    yield script.name, re.sub(r"\$\$.*?\$\$", "'body'", text, flags=re.DOTALL)
    for body in re.findall(r"\$\$(.*?)\$\$", text, re.DOTALL):
        if "\ndef " not in body:
            yield script.name, body
            continue
        for line, found in _strings(ast.parse(body)):
            if (
                re.match(
                    r"(select|insert|copy|remove|list|create|alter|split_part|parse_json|column|\$1)\b",
                    found.lstrip(" ,"),
                )
                or "::" in found
            ):
                yield f"{script.name}, line {line} of the procedure", found


def _strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The strings of a program, a name, literal or type in place of what is formatted into them; without docstrings."""
    made = {"quoted": '"x"', "literal": "'x'"}
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (
                str(each.value) if isinstance(each, ast.Constant) else made.get(_function(each), "x")
                for each in node.values
            )
            yield node.lineno, "".join(parts).replace("::x", "::varchar")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            yield from _strings(node)


def _function(formatted: ast.expr) -> str:
    """The name of the function whose result is formatted into a string; empty if there is none."""
    value = formatted.value if isinstance(formatted, ast.FormattedValue) else None
    return value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
