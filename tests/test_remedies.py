"""Every command that an error, a problem or a page tells somebody to run exists, with these arguments."""

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from adventure.cli import app
from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.monitoring.health.problem import KINDS
from adventure.sources.postgres import decoder
from adventure.tasks.graph import task_graph

PACKAGE = Path(__file__).parent.parent / "adventure"

# What stands for a value that is known only when the sentence is made.
VALUES = dict.fromkeys(("stream.name", "report.stream.name", "stream", "stream.stream", "seen.stream"), "orders")


def sentences() -> Iterator[tuple[str, str]]:
    """Every text of the package that names a command between backticks, and where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # A docstring tells nobody to run something, and a part of a text is read with it.
        left_out = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        left_out |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if id(node) not in left_out and (text := _text(node, module)) and "`adventure " in text:
                yield f"{path.relative_to(PACKAGE.parent)}:{node.lineno}", text  # type: ignore[attr-defined]


def _text(node: ast.AST, module: str) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, module) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        written = ast.unparse(node.value)
        constant = _constant(module, written) if written.isidentifier() else None
        return constant if isinstance(constant, str) else VALUES.get(written, "value")
    return ""


def _constant(module: str, name: str) -> object:
    if module.endswith(".copy_decoder") and not decoder.is_installed():
        return None
    return getattr(importlib.import_module(module), name, None)


COMMANDS = sorted({(where, found) for where, text in sentences() for found in re.findall(r"`(adventure [^`]+)`", text)})


def parse(command: str) -> list[str]:
    """Parse a command as the shell and the command line would, without running it.

    Returns:
        The values of its arguments.

    Raises:
        NoSuchCommand: there is no such command, option or argument.
    """
    # Of click's own types, or of the copy that newer versions of typer have.
    found: Any = typer.main.get_command(app)
    words, context = shlex.split(command)[1:], None
    try:
        while hasattr(found, "resolve_command"):
            context = found.context_class(found, parent=context)
            if not words:
                raise NoSuchCommand(f"{command} is not the whole of a command")
            if words in (["--help"], ["--install-completion"]):
                return []
            _, found, words = found.resolve_command(context, words)
        parsed = found.make_context(found.name, words, parent=context)
    except Exception as error:
        raise NoSuchCommand(f"{command}: {getattr(error, 'message', error)}") from error
    return [str(parsed.params[each.name]) for each in found.params if each.param_type_name == "argument"]


class NoSuchCommand(Exception):
    """It cannot be run as it stands."""


@pytest.mark.parametrize(("where", "command"), COMMANDS, ids=[f"{where} {found}" for where, found in COMMANDS])
def test_a_command_in_a_sentence_exists(monkeypatch: pytest.MonkeyPatch, where: str, command: str) -> None:
    # Where a health check runs.
    monkeypatch.setenv("HEARTBEAT_FILE", "heartbeat")
    if command == "adventure value":
        assert where.startswith("adventure/demo/run.py"), "only the demo names commands that it chose itself"
    else:
        parse(command)


def test_tasks_in_sentences_exist(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, pipeline_file=PACKAGE.parent / "pipeline.toml")
    graph = task_graph(settings, DuckDBWarehouse(settings), load_streams(settings))
    named = {parse(command)[0] for _, command in COMMANDS if command.startswith("adventure tasks run ")}
    known = {name for name in named if "value" not in name}
    assert {"load_orders", "reconcile"} <= known <= {task.name for task in graph}


@pytest.mark.parametrize(
    "command",
    ["adventure fix", "adventure stage", "adventure reconcile orders --undo", "adventure stage remove a b c"],
)
def test_a_command_that_does_not_exist_is_found(command: str) -> None:
    with pytest.raises(NoSuchCommand):
        parse(command)


OPERATIONS = (PACKAGE.parent / "docs" / "operations.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^#### (\w+)\n(.+?)(?=^#)", OPERATIONS, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("kind", "text"), HEADINGS, ids=[kind for kind, _ in HEADINGS])
def test_each_problem_of_the_guide_has_a_command_that_can_be_run(kind: str, text: str) -> None:
    commands = re.findall(r"`(adventure [^`]+)`", text)
    assert commands
    for command in commands:
        parse(command)


def test_every_kind_of_problem_is_in_the_guide() -> None:
    assert {kind for kind, _ in HEADINGS} == set(KINDS)


def test_sentences_of_many_modules_are_read() -> None:
    rules = "adventure/monitoring/health/rules.py"
    assert {"adventure/reconcile/removal.py", "adventure/processor/owner.py", rules} <= {
        where.partition(":")[0] for where, _ in COMMANDS
    }
