"""The statements in the bodies of a file's tasks and procedures, with typed values in the place of variables."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from adventure.destinations.snowflake.scripts import split

_TASK = re.compile(r"create or replace task \w+\s.*?\nas\n(.*)$|create or replace task \w+ .*? as\n(.*)$", re.DOTALL)
_PROCEDURE = re.compile(r"create or replace procedure (\w+)\((.*?)\)\n.*?\$\$\n(.*)\$\$", re.DOTALL)
_INTO = re.compile(r"^select (.+?)\s+into ((?::\w+(?:, )?)+)\s+(from .*)$", re.DOTALL)
_CONTROL = re.compile(r"^(?:if \((?P<condition>.*?)\) then|for \w+ in \w+ do)\s+(?P<rest>.*)$", re.DOTALL)
_IDENTIFIER = re.compile(r"identifier\(:(\w+)\)")
_IGNORED = ("end if", "end for", "raise ", "raise", "execute task")


def sequence(script: str) -> Iterator[str]:
    """Yield the statements of a file in their order, and what its tasks run in the place of the tasks.

    A procedure's statements follow where it is called, with the values of the call.
    """
    procedures: dict[str, tuple[list[str], str]] = {}
    for statement in split(script):
        if found := _PROCEDURE.match(statement):
            names = [argument.split()[0] for argument in found[2].split(", ")]
            procedures[found[1]] = names, found[3]
        elif found := _TASK.match(statement):
            body = next(split(f"{found[1] or found[2]};"))
            yield from _body(body, procedures)
        elif not statement.startswith(_IGNORED):
            yield statement


def _body(body: str, procedures: Mapping[str, tuple[list[str], str]]) -> Iterator[str]:
    if body.startswith("execute immediate"):
        (block,) = re.findall(r"\$\$\n(.*)\$\$", body, re.DOTALL)
        yield from _block(block, procedures)
    elif body.startswith("call "):
        yield from _called(body, procedures)
    else:
        yield body


def _called(statement: str, procedures: Mapping[str, tuple[list[str], str]]) -> Iterator[str]:
    ((name, given),) = re.findall(r"^call (\w+)\((.*)\)$", statement)
    names, block = procedures[name]
    yield from _block(block, procedures, dict(zip(names, re.findall(r"'(\w+)'", given), strict=True)))


def _block(
    block: str,
    procedures: Mapping[str, tuple[list[str], str]],
    arguments: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[str]:
    """Yield what a block of Snowflake Scripting runs, whatever its conditions are.

    SELECT … INTO becomes an INSERT into a table of the block's variables, so that the types are compared.
    """
    (body,) = re.findall(r"^begin\n(.*)^end;$", block, re.DOTALL | re.MULTILINE)
    declared = dict(re.findall(r"^ {4}(\w+) (varchar|timestamp_ntz|number);", block, re.MULTILINE))
    values = {name: f"null::{kind}" for name, kind in declared.items()}
    values |= {name: f"'{value}'" for name, value in arguments.items()}
    if declared:
        columns = ", ".join(f"{name} {kind}" for name, kind in declared.items())
        yield f"create or replace temporary table variables ({columns})"
    yield from (query for query in re.findall(r"\w+ cursor for\s+(.*?);", block, re.DOTALL))
    for text in split(body):
        statement = next(split(f"{text};"))
        if found := _CONTROL.match(statement):
            if found["condition"]:
                yield f"select ({_valued(found['condition'], values)}) as is_true"
            statement = found["rest"]
        if statement.startswith(_IGNORED):
            continue
        if statement.startswith("call "):
            yield from _called(statement, procedures)
        elif statement.startswith("execute immediate "):
            yield _put_together(statement.removeprefix("execute immediate "), arguments)
        elif found := _INTO.match(statement):
            columns, query = found[2].replace(":", ""), f"select {found[1]} {found[3]}"
            yield f"insert into variables ({columns}) {_bound(query, values)}"
        else:
            statement = _IDENTIFIER.sub(lambda named: arguments[named[1]], statement)
            yield _bound(statement, values)


def _put_together(expression: str, arguments: Mapping[str, str]) -> str:
    """Return the text of `'…' || :name || row.column`. A value that is not known is called x."""
    parts = re.findall(r"'((?:[^']|'')*)'|:?\b(\w+(?:\.\w+)?)", expression)
    return "".join(arguments.get(name, "x") if name else text.replace("''", "'") for text, name in parts)


def _bound(statement: str, values: Mapping[str, str]) -> str:
    """Put typed values in the place of `:name`."""
    return re.sub(r"(?<![:\w]):(\w+)", lambda bound: values[bound[1]], statement)


def _valued(condition: str, values: Mapping[str, str]) -> str:
    """Put typed values in the place of the variables in a condition, which stand there without a colon."""
    return re.sub(r"\b(\w+)\b(?!')", lambda name: values.get(name[1], name[1]), condition)
