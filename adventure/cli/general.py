"""The options that all commands share, such as `--env`; they may stand before or after the command."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object (docs/json.md).")]
"""The option of commands whose output programs can read."""

_FLAGS = frozenset({"--debug", "--quiet", "-q", "--verbose", "-v"})
_WITH_VALUE = "--env"

Level = Literal["quiet", "normal", "verbose"]


@dataclass(frozen=True)
class General:
    """The values of the shared options."""

    env: Path | None = None
    """The settings file; None for `.env`."""
    level: Level = "normal"
    """Which log lines are shown."""


class MainGroup(TyperGroup):
    """The main command. It accepts its own options behind the command's name, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, general_first(args))


def general_first(arguments: list[str]) -> list[str]:
    """Move the shared options to the front. Arguments behind `--` stay as they are."""
    first: list[str] = []
    others: list[str] = []
    left = iter(arguments)
    for argument in left:
        if argument == "--":
            others += [argument, *left]
        elif argument == _WITH_VALUE:
            value = next(left, None)
            if value is None:
                # Alone it is reported as an option without its value. In front of the rest it would take the command.
                return [argument]
            first += [argument, value]
        elif argument in _FLAGS or argument.startswith(f"{_WITH_VALUE}="):
            first.append(argument)
        else:
            others.append(argument)
    return first + others
