"""`adventure snowflake`: set up or tear down an account."""

from typing import TYPE_CHECKING, Annotated

import typer

from adventure.cli.job import pipeline_of, settings_of

if TYPE_CHECKING:
    from adventure.core.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Set up Snowflake, or remove everything from it.")


@app.command("deploy")
def snowflake_deploy(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the script without running it.")] = False,
    triggered: Annotated[
        bool, typer.Option("--triggered", help="Load within a minute after a file arrives, instead of every hour.")
    ] = False,
) -> None:
    """Create or update the roles, warehouse, stages, tables, tasks and dashboard."""
    from adventure.destinations.snowflake.scripts import deployment

    settings, streams = pipeline_of(context)
    _run_script(settings, deployment(settings, streams, "triggered" if triggered else "scheduled"), dry_run=dry_run)


@app.command("destroy")
def snowflake_destroy(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the script without running it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove everything that deploy created, including all rows."""
    from adventure.destinations.snowflake.scripts import teardown

    settings = settings_of(context)
    if not dry_run and not yes:
        typer.confirm(f"Remove the database {settings.snowflake_database} with all its rows?", abort=True)
    _run_script(settings, teardown(settings), dry_run=dry_run)


def _run_script(settings: "Settings", statements: list[str], *, dry_run: bool) -> None:
    from adventure.destinations.snowflake.deploy import run_statements

    if dry_run:
        for statement in statements:
            typer.echo(f"{statement};\n")
    else:
        run_statements(settings, statements, lambda statement: typer.echo(f"{statement};\n"))
