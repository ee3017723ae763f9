"""High-water marks in the statements of dbt: what changes from one increment to the next.

The macro `high_water_mark` asks for the largest stamp in a model's table, and writes it as a literal into the model's
statements. Both have a comment with the column's name.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from adventure.destinations.duckdb.transcript import Statement

_MARK = re.compile(r"'([^']*)' as timestamp\) /\* high-water mark of (\w+) \*/")
_QUESTION = re.compile(r"(?<!as timestamp\)) /\* high-water mark of (\w+) \*/")
_OF_AN_EMPTY_TABLE = [(None,)]
_BEFORE_ALL = "1970-01-01 00:00:00"
"""The mark that the macro writes for an empty table."""

Marks = dict[str, str | None]
"""The mark of each column; None where the table is still empty, as it was when dbt wrote the statement."""


def asked_for(statement: Statement) -> str | None:
    """Return the column for whose mark the statement asks."""
    found = _QUESTION.search(statement.sql)
    return found[1] if found else None


def fits(statement: Statement, rows: Sequence[tuple[Any, ...]]) -> bool:
    """Return whether the answer to a question for a mark can be written into the statements after it."""
    return rows != _OF_AN_EMPTY_TABLE or statement.rows == repr(_OF_AN_EMPTY_TABLE)


def with_marks(sql: str, marks: Mapping[str, str | None]) -> str:
    """Return a statement with these marks."""

    def mark(found: re.Match[str]) -> str:
        value = marks[found[2]]
        return found[0] if value is None else f"'{value}'{found[0][len(found[1]) + 2 :]}"

    return _MARK.sub(mark, sql)


def without_marks(sql: str) -> str:
    """Return what a statement has in common with that of another increment."""
    return _MARK.sub(r"\2", sql)


def has_its_marks(statements: Sequence[Statement]) -> bool:
    """Return whether each mark is the answer to a question before it, and each answer is only in marks."""
    answers: dict[str, str | None] = {}
    for each in statements:
        for value, column in _MARK.findall(each.sql):
            expected = _OF_AN_EMPTY_TABLE if value == _BEFORE_ALL else [(value,)]
            if answers.get(column) != repr(expected):
                return False
        rest = without_marks(each.sql)
        if any(answer and answer[3:-4] in rest for answer in answers.values() if answer != repr(_OF_AN_EMPTY_TABLE)):
            return False
        if column := asked_for(each):
            answers[column] = each.rows
    return True
