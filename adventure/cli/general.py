"""The options that all commands share, such as `--env`; they may stand before or after the command."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import CommandFunctionType

if TYPE_CHECKING:
    from pydantic import ValidationError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object (docs/json.md).")]
"""The option of commands whose output programs can read."""

_FLAGS = frozenset({"--debug", "--quiet", "-q", "--verbose", "-v"})
_WITH_VALUE = "--env"
_SHARED = ("env", "quiet", "verbose", "debug")


class Interrupted(Exception):
    """A signal ended the command. Typer would exit without a sentence."""


class _Plain:
    """Mixin of commands and groups: their help shows flags as flags, and the shared options."""

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for each in params:
            if getattr(each, "is_flag", False):
                each.metavar = ""
        return params if ctx.parent is None else params + _shared(ctx.find_root().command)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            parsed: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        except typer.BadParameter as error:
            cause: Any = error.__cause__
            # By its name: nothing imports pydantic before a value is refused.
            if type(cause).__name__ == "ValidationError":
                error.message = _sentence(cause)
            raise
        return parsed


class Command(_Plain, TyperCommand):
    """A command."""


class Group(_Plain, TyperGroup):
    """A group of commands."""


class MainGroup(Group):
    """The main command. It accepts its own options behind the command's name, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, general_first(args))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Interrupted from error


class Commands(typer.Typer):
    """A Typer whose commands and groups are of these classes."""

    def __init__(self, *, cls: type[TyperGroup] = Group, **settings: Any) -> None:
        super().__init__(cls=cls, **settings)

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = Command, **settings: Any
    ) -> Callable[[CommandFunctionType], CommandFunctionType]:
        return super().command(name, cls=cls, **settings)


def _shared(main: Any) -> list[Any]:
    """Return the shared options as a command's help shows them. `general_first` moves them away before it parses."""
    shared = [copy.copy(each) for each in main.params if each.name in _SHARED]
    for each in shared:
        each.expose_value, each.rich_help_panel = False, "Shared options, also before the command"
    return shared


def _sentence(error: "ValidationError") -> str:
    """Return what is wrong with a value, to follow its option's name."""
    from adventure.core.validation import describe

    first = error.errors()[0]
    example = ", such as 2026-01-31 or 2026-01-31T12:00:00" if first["type"].startswith("datetime") else ""
    return f"it{describe(first)}{example}"


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
