"""The app of all commands, with the options that they share."""

from pathlib import Path
from typing import Annotated

import typer

from adventure.cli import (
    alert,
    compare,
    digest,
    generated,
    history,
    init,
    move,
    observe,
    query,
    raw,
    serve,
    snowflake,
    stage,
    stream,
    tasks,
)
from adventure.cli.general import Commands, MainGroup
from adventure.cli.given import General
from adventure.core.extras import DISTRIBUTION

app = Commands(
    name="adventure",
    help="Copy tables, documents and API records into a warehouse, build models with dbt, and show a dashboard.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    cls=MainGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="--env, --quiet, --verbose and --debug may stand before or after the command. `adventure"
    " --install-completion` completes commands and options in your shell. Exit codes: 0, 1 for an error or a problem,"
    " 2 for wrong usage, 130 after Ctrl-C.",
)

_GENERAL = "General"
_LIVE = "Generated sales"
_MOVE = "Sources to raw tables"
_SHOW = "Raw tables to dashboard"


def _print_version(is_given: bool) -> None:
    if is_given:
        from importlib.metadata import version

        typer.echo(f"adventure {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    env: Annotated[Path | None, typer.Option(help="Settings file, like .env.example (default: .env).")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log only warnings and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is read and found, too.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if quiet and verbose:
        raise typer.BadParameter("--quiet and --verbose exclude each other")
    context.obj = General(env, "quiet" if quiet else "verbose" if verbose else "normal")


app.command(rich_help_panel=_GENERAL)(generated.demo)
app.command(rich_help_panel=_LIVE)(generated.generate)
app.command(rich_help_panel=_LIVE)(generated.api)
app.command(rich_help_panel=_MOVE)(move.process)
app.command(rich_help_panel=_MOVE)(move.load)
app.command(rich_help_panel=_SHOW)(move.build)
app.command(rich_help_panel=_SHOW)(compare.check)
app.command(rich_help_panel=_SHOW)(compare.reconcile)
app.command(rich_help_panel=_SHOW)(compare.rejects)
app.command(rich_help_panel=_SHOW)(observe.status)
app.command(rich_help_panel=_GENERAL)(observe.doctor)
app.command(rich_help_panel=_GENERAL)(observe.health)
app.command(rich_help_panel=_SHOW)(serve.dashboard)
app.command(rich_help_panel=_SHOW)(serve.mcp)
app.command(rich_help_panel=_GENERAL)(alert.alert)
app.command(rich_help_panel=_SHOW)(digest.digest)
app.command(rich_help_panel=_MOVE)(init.init)
app.command(rich_help_panel=_SHOW)(query.query)
app.add_typer(raw.app, name="raw", rich_help_panel=_MOVE)
app.add_typer(stage.app, name="stage", rich_help_panel=_MOVE)
app.add_typer(stream.app, name="stream", rich_help_panel=_MOVE)
app.add_typer(tasks.app, name="tasks", rich_help_panel=_MOVE)
app.add_typer(history.app, name="history", rich_help_panel=_SHOW)
app.add_typer(snowflake.app, name="snowflake", rich_help_panel=_SHOW)
