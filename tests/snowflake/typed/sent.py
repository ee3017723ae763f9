"""Check the statements that the commands, the procedure and dbt send, in their order, as an account would run them.

Each statement's words are checked. CREATE, SELECT, INSERT, DELETE and UPDATE are resolved and typed, and what is
written must have the families of the columns that it is written to. COPY must name columns of its table.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import sqlglot
from sqlglot import exp

from tests.snowflake.typed.kinds import kind, kind_of
from tests.snowflake.typed.relations import Relations
from tests.snowflake.typed.words import faults_of_words

_COMMANDS = re.compile(
    r"(begin|commit|rollback|set|use|grant|put|get|list|remove|show|describe|execute|alter|drop|truncate"
    r"|create (or replace )?(database|schema|stage|stream|file format|task|procedure|streamlit|dbt project))\b",
    re.IGNORECASE,
)
"""Statements without a query. The files' tests parse them (tests/snowflake/test_scripts.py)."""
_STREAM = re.compile(r"create (?:or replace )?stream (?:if not exists )?(\S+) on (stage|table) (\S+)", re.IGNORECASE)
"""A stream of a stage has the columns of the stage's directory, of which the load names one."""
_UNTYPED = (
    (r"@\w", "a stage's columns"),
    (r"\bvalues\b", "VALUES"),
    (r"\binformation_schema\.", "the account's own views"),
)
"""What a query reads whose columns have no known types, and what it is called."""
_COMMENT = re.compile(r"/\*.*?\*/|(?m:^\s*--[^\n]*$)", re.DOTALL)


@dataclass
class Checked:
    """What was found in statements."""

    faults: list[str] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)
    """The statements whose columns and types were resolved."""
    untyped: dict[str, list[str]] = field(default_factory=dict)
    """The other statements, by what they read whose types are not known."""


def check_sent(statements: Iterable[str], relations: Relations, *, schema: str = "raw_ext") -> Checked:
    """Run the statements as far as their queries go.

    Args:
        schema: the sessions' schema. USE SCHEMA is not followed, since statements of several sessions alternate.
    """
    checked, variables = Checked(), dict[str, str]()
    for sent in statements:
        text = _COMMENT.sub("", sent).strip().rstrip(";").strip()
        name = " ".join(text.split())[:90]
        checked.faults += faults_of_words(name, text)
        if stream := _STREAM.match(text):
            source = exp.to_table(stream[3], dialect="snowflake")
            directory = {"relative_path": "varchar"}
            columns = directory if stream[2].lower() == "stage" else relations.columns(source, schema)
            relations.add(f"raw_ext.{stream[1].split('.')[-1]}", columns)
        if given := re.match(r"set (\w+) = (.*)$", text, re.IGNORECASE | re.DOTALL):
            variables[given[1]] = f"({given[2]})"
        if _COMMANDS.match(text):
            continue
        for variable, value in variables.items():
            text = re.sub(rf"\${variable}\b", value, text)
        statement = sqlglot.parse_one(text, read="snowflake")
        reason = _untyped(text, statement, relations, schema)
        if reason:
            checked.untyped.setdefault(reason, []).append(name)
        else:
            checked.typed.append(name)
        checked.faults += list(_faults(name, statement, relations, schema, is_typed=not reason))
    return checked


def _untyped(text: str, statement: exp.Expr, relations: Relations, schema: str) -> str:
    """Return why a statement cannot be typed; empty if it can be."""
    query = statement.args.get("expression") if isinstance(statement, exp.Create | exp.Insert) else statement
    if query is None or relations.knows(query, schema):
        return ""
    return next((reason for pattern, reason in _UNTYPED if re.search(pattern, text, re.IGNORECASE)), "")


def _faults(name: str, statement: exp.Expr, relations: Relations, schema: str, *, is_typed: bool) -> Iterator[str]:
    if isinstance(statement, exp.Create):
        yield from relations.create(name, statement, schema)
    elif isinstance(statement, exp.Insert):
        yield from _faults_of_insert(name, statement, relations, is_typed=is_typed)
    elif isinstance(statement, exp.Copy):
        yield from _unknown_columns(name, statement.this, relations)
    elif isinstance(statement, exp.Delete | exp.Update):
        yield from _faults_of_change(name, statement, relations)
    elif isinstance(statement, exp.Query):
        if is_typed:
            yield from relations.typed(name, statement, schema)[1]
    else:
        yield f"{name}: the typed tests do not know the statement"


def _faults_of_insert(name: str, statement: exp.Insert, relations: Relations, *, is_typed: bool) -> Iterator[str]:
    yield from _unknown_columns(name, statement.this, relations)
    if not is_typed:
        return
    found, faults = relations.typed(name, statement.expression.unnest(), "raw_ext")
    yield from faults
    if found is None:
        return
    columns = _columns(statement.this, relations)
    listed = statement.this.expressions if isinstance(statement.this, exp.Schema) else []
    wanted = [_key(each) for each in listed] or list(columns)
    if len(wanted) != len(found.selects):
        yield f"{name}: it writes {len(found.selects)} columns into {len(wanted)}"
    for column, value in zip(wanted, found.selects, strict=False):
        if column in columns:
            yield from _misfit(name, column, value, columns[column])


def _faults_of_change(name: str, statement: exp.Delete | exp.Update, relations: Relations) -> Iterator[str]:
    """Check the condition of DELETE and UPDATE, and the values of UPDATE, as those of a query of the same table."""
    sets = {_key(each.this): each.expression for each in statement.expressions if isinstance(each, exp.EQ)}
    query = exp.select(*(exp.alias_(value.copy(), name) for name, value in sets.items()) if sets else ("1 as one",))
    query = query.from_(statement.this.copy())
    if condition := statement.args.get("where"):
        query = query.where(condition.this.copy())
    found, faults = relations.typed(name, query, "raw_ext")
    yield from faults
    columns = _columns(statement.this, relations)
    for column, value in zip(sets, found.selects if found else (), strict=False):
        yield from _misfit(name, column, value, columns[column]) if column in columns else [f"{name}: no {column}"]


def _misfit(name: str, column: str, value: exp.Expr, wanted: exp.DataType) -> Iterator[str]:
    """Yield a sentence if a value would be converted to the column's family, or would lose digits."""
    have, want = kind_of(value.unalias()), kind(wanted)
    fits = have.family in (want.family, "null")
    loses_digits = have.scale is not None and want.scale is not None and have.scale > want.scale
    if not fits or loses_digits:
        yield f"{name}, column {column.lower()}: it is {have}, and the table has {want}"


def _unknown_columns(name: str, target: exp.Expr, relations: Relations) -> Iterator[str]:
    columns = _columns(target, relations)
    if not columns:
        yield f"{name}: there is no such table"
    elif isinstance(target, exp.Schema):
        listed = [_key(each) for each in target.expressions]
        yield from (f"{name}: the table has no column {each.lower()}" for each in listed if each not in columns)


def _columns(target: exp.Expr, relations: Relations) -> Mapping[str, exp.DataType]:
    table = target.this if isinstance(target, exp.Schema) else target
    return relations.columns(table, "raw_ext")


def _key(column: exp.Expr) -> str:
    """Return a column's name as the table has it."""
    identifier = column.find(exp.Identifier) or column
    return identifier.name if identifier.args.get("quoted") else identifier.name.upper()
