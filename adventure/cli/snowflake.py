"""`adventure snowflake`: set up or tear down an account."""

from typing import TYPE_CHECKING, Annotated

import typer

from adventure.cli.general import Commands
from adventure.cli.job import pipeline_of, settings_of

if TYPE_CHECKING:
    from adventure.core.settings import Settings

app = Commands(no_args_is_help=True, help="Set up Snowflake, or remove everything from it.")


OneRole = Annotated[
    str, typer.Option("--as", metavar="ROLE", help="Use this one role for everything, in a database that it owns.")
]


@app.command("deploy")
def snowflake_deploy(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the script without running it.")] = False,
    triggered: Annotated[
        bool, typer.Option("--triggered", help="Load within a minute after a file arrives, instead of every hour.")
    ] = False,
    role: OneRole = "",
) -> None:
    """Create or update the roles, warehouse, stages, tables, tasks and dashboard."""
    from adventure.destinations.snowflake.one_role import deployment_as
    from adventure.destinations.snowflake.scripts import deployment

    settings, streams = pipeline_of(context)
    statements = deployment(settings, streams, "triggered" if triggered else "scheduled")
    _run_script(settings, deployment_as(role, statements) if role else statements, dry_run=dry_run, role=role)


@app.command("destroy")
def snowflake_destroy(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the script without running it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    role: OneRole = "",
) -> None:
    """Remove everything that deploy created, including all rows; with --as, only Adventure's own schemas."""
    from adventure.destinations.snowflake.one_role import OWN_SCHEMAS, teardown_as
    from adventure.destinations.snowflake.scripts import names, teardown

    settings = settings_of(context)
    if not dry_run and not yes:
        schemas = f"the schemas {', '.join(OWN_SCHEMAS)} of " if role else ""
        typer.confirm(f"Remove {schemas}the database {settings.snowflake_database} with all its rows?", abort=True)
    statements = teardown_as(role, names(settings)) if role else teardown(settings)
    _run_script(settings, statements, dry_run=dry_run, role=role)


@app.command("verify")
def snowflake_verify(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    role: OneRole = "",
) -> None:
    """Deploy under scratch names, move rows through the account, print a report, and destroy it all."""
    import tempfile
    import uuid
    from pathlib import Path

    from adventure.destinations.snowflake.verify import PREFIX, scratch_of, to_text, verify

    settings, streams = pipeline_of(context)
    name = f"{PREFIX}{uuid.uuid4().hex[:8].upper()}"
    with tempfile.TemporaryDirectory() as folder:
        scratch = scratch_of(settings, streams, name=name, role=role, data_dir=Path(folder))
        if not yes:
            typer.confirm(f"Create the database {name}, which costs a part of a credit, and destroy it?", abort=True)
        steps = verify(scratch, streams, lambda step: typer.echo(f"{step.name}: {step.outcome}", err=True))
        typer.echo(to_text(steps, scratch))
    if any(step.outcome == "failed" for step in steps):
        raise typer.Exit(1)


def _run_script(settings: "Settings", statements: list[str], *, dry_run: bool, role: str) -> None:
    from adventure.destinations.snowflake.deploy import FIRST_ROLE, run_statements

    if dry_run:
        for statement in statements:
            typer.echo(f"{statement};\n")
    else:
        run_statements(
            settings, statements, lambda statement: typer.echo(f"{statement};\n"), role=role.upper() or FIRST_ROLE
        )
