"""`adventure history`: create or load the history, years of sales."""

from pathlib import Path
from typing import Annotated

import typer

from adventure.cli.general import Commands
from adventure.cli.job import importing_demo, settings_of

app = Commands(no_args_is_help=True, help="Create or load the history: years of sales.")


@app.command("create")
def history_create(
    context: typer.Context,
    seed: Annotated[int, typer.Option(help="A different seed gives a different history of the same shape.")] = 1,
) -> None:
    """Generate years of orders, purchases, campaigns, customers and products, and load them."""
    with importing_demo():
        from adventure.demo.history import create

    create(settings_of(context), seed=seed)


@app.command("load")
def history_load(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with one file or folder per raw table.")],
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Leave tables without a file empty.")] = False,
) -> None:
    """Load the history from your own files."""
    with importing_demo():
        from adventure.demo.history import load

    load(settings_of(context), folder, allow_missing=allow_missing)
