"""High-water marks in the statements of an increment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adventure.destinations.duckdb.marks import asked_for, fits, has_its_marks, with_marks, without_marks
from adventure.destinations.duckdb.transcript import Statement

QUESTION = 'select cast(max(_loaded_at) as varchar) from "db"."made"."orders" /* high-water mark of _loaded_at */'
OLD, NEW = "2026-11-30 10:00:00.000001", "2026-11-30 10:00:05"


def using(value: str, column: str = "_loaded_at") -> str:
    return f"select 1 where x > cast('{value}' as timestamp) /* high-water mark of {column} */ and y = '{OLD}'"


@pytest.mark.parametrize(
    ("sql", "column"),
    [
        (QUESTION, "_loaded_at"),
        (f"{QUESTION}\n/* node: orders */", "_loaded_at"),
        (using(OLD), None),
        (f"{using(OLD)} and {using(OLD, 'other')}", None),
        ("select 1 /* high-water mark */", None),
    ],
)
def test_a_question_for_a_mark_is_told_from_statements_that_have_one(sql: str, column: str | None) -> None:
    assert asked_for(Statement(sql)) == column


@pytest.mark.parametrize(
    ("marks", "expected"), [({"_loaded_at": NEW}, using(NEW)), ({"_loaded_at": None}, using(OLD))], ids=["new", "none"]
)
def test_only_the_literal_of_the_mark_is_replaced(marks: dict[str, str | None], expected: str) -> None:
    assert with_marks(using(OLD), marks) == expected


@given(st.text(), st.text())
def test_a_text_without_marks_stays_as_it_is(before: str, after: str) -> None:
    text = f"{before}{QUESTION}{after}"
    assert with_marks(text, {"_loaded_at": NEW}) == text


def test_statements_with_other_marks_have_the_rest_in_common() -> None:
    assert without_marks(using(OLD)) == without_marks(using(NEW))
    assert without_marks(using(OLD)) != without_marks(using(OLD, "other"))


def test_a_mark_is_told_from_a_literal_that_is_no_answer() -> None:
    asked = Statement(QUESTION, rows=repr([(OLD,)]))
    used, another = (Statement(using(value).partition(" and ")[0]) for value in (OLD, NEW))
    assert has_its_marks([asked, used])
    assert not has_its_marks([asked, another])
    assert not has_its_marks([used, asked])
    empty = Statement(QUESTION, rows="[(None,)]")
    assert has_its_marks([empty, Statement(using("1970-01-01 00:00:00").replace(OLD, ""))])
    assert not has_its_marks([empty, Statement(using(OLD))])


def test_an_answer_that_is_used_elsewhere_too_could_not_be_replaced() -> None:
    asked = Statement(QUESTION, rows=repr([(OLD,)]))
    assert has_its_marks([asked, Statement(using(OLD).replace(f" and y = '{OLD}'", ""))])
    assert not has_its_marks([asked, Statement(using(OLD))])


@pytest.mark.parametrize(
    ("answered", "now", "expected"),
    [
        ([(OLD,)], [(NEW,)], True),
        ([(None,)], [(NEW,)], True),
        ([(None,)], [(None,)], True),
        ([(OLD,)], [(None,)], False),
    ],
)
def test_a_table_that_was_emptied_has_no_mark(answered: list[object], now: list[tuple[object]], expected: bool) -> None:
    assert fits(Statement(QUESTION, rows=repr(answered)), now) == expected
