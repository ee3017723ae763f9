"""Where the commands print, and the look of their tables."""

import sys

from rich import box
from rich.console import Console
from rich.table import Table

_PIPED_WIDTH = 160
"""Characters a line for output to a log or a pipe, which has no width of its own."""


def console() -> Console:
    """Return the console on which the commands print their tables."""
    # Bound to the stdout of now: while dbt runs, perhaps in another thread, `sys.stdout` catches what dbt prints.
    on_terminal = Console(file=sys.stdout, highlight=False)
    return on_terminal if on_terminal.is_terminal else Console(file=sys.stdout, highlight=False, width=_PIPED_WIDTH)


def plain(text: str) -> str:
    """Return the text so that the console takes no part of it for a style."""
    return text.replace("[", "\\[")


def table(title: str, *, left: tuple[str, ...], right: tuple[str, ...] = ()) -> Table:
    """Return a table with columns of text, then columns of numbers."""
    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for name in left:
        made.add_column(name, overflow="fold")
    for name in right:
        made.add_column(name, justify="right", no_wrap=True)
    return made
