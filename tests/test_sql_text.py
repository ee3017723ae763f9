"""Names, texts and JSON members reach the database exactly as they are."""

import duckdb
import orjson
import pytest

from adventure.core.sql_text import json_path, literal, quoted

HOSTILE = ["plain", "two words", 'a "quoted" one', "it's", "back\\slash", "a.b", "$", "ünï"]


@pytest.mark.parametrize("name", HOSTILE)
def test_an_identifier_is_the_name(name: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"create table {quoted('main', name)} as select 1 as {quoted(name)}")
        assert connection.execute(f"describe {quoted(name)}").fetchall()[0][0] == name


@pytest.mark.parametrize("text", HOSTILE)
def test_a_literal_is_the_text(text: str) -> None:
    with duckdb.connect() as connection:
        assert connection.execute(f"select {literal(text)}").fetchone() == (text,)
        # DuckDB reads backslash escapes in an E'' literal, as Snowflake does in every literal.
        assert connection.execute(f"select E{literal(text, backslash_escapes=True)}").fetchone() == (text,)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_json_path_finds_the_member(name: str) -> None:
    document = orjson.dumps({"other": 1, name: {name: "found"}}).decode()
    with duckdb.connect() as connection:
        found = connection.execute("select json_extract_string(?, ?)", [document, json_path(name, name)]).fetchone()
    assert found == ("found",)
