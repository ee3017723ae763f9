"""`adventure init`: write a project for a live database, or begin where another pipeline stopped."""

from typing import TYPE_CHECKING, Annotated

import typer

from adventure.cli.job import pipeline_of, settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adventure.core.settings import Settings
    from adventure.sources.proposal import Proposal, Unmovable


def init(
    context: typer.Context,
    postgres: Annotated[
        str | None, typer.Option(help="Ask this PostgreSQL database, as postgresql://user@host:5432/database.")
    ] = None,
    mongo: Annotated[str | None, typer.Option(help="Ask this MongoDB server, as mongodb://host:27017.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing: write a stream for each table that can be moved.")
    ] = False,
    from_existing: Annotated[
        bool,
        typer.Option("--from-existing", help="Take over the watermark of another pipeline, which is only read."),
    ] = False,
    table: Annotated[
        str, typer.Option(help="With --from-existing: its table in the source database.")
    ] = "processor_metadata",
    timezone: Annotated[
        str | None, typer.Option(help="With --from-existing: zone of last_export, such as America/Denver.")
    ] = None,
    overlap: Annotated[
        str, typer.Option(help="With --from-existing: how much before last_export to begin: 10s, 5m, 1h.")
    ] = "1h",
) -> None:
    """Write pipeline.toml, .env and a dbt project for the tables of a live database, in an empty folder.

    With --from-existing, begin where another pipeline stopped.
    """
    if from_existing:
        _take_over(context, table, timezone, overlap)
    else:
        _write_project(settings_of(context), postgres, mongo, yes=yes)


def _take_over(context: typer.Context, table: str, timezone: str | None, overlap: str) -> None:
    from datetime import timedelta

    from adventure.core.settings import parse_duration
    from adventure.processor.existing import take_over

    settings, streams = pipeline_of(context)
    for sentence in take_over(
        settings, streams, table=table, zone=timezone, overlap=timedelta(seconds=parse_duration(overlap))
    ):
        typer.echo(sentence)


def _write_project(settings: "Settings", postgres: str | None, mongo: str | None, *, yes: bool) -> None:
    from pathlib import Path

    from adventure.scaffold.connections import connections, lacks_password, with_password
    from adventure.scaffold.names import stream_names
    from adventure.scaffold.project import ask_sources, refuse_existing, write_project

    folder = Path()
    refuse_existing(folder)
    if postgres is None and mongo is None and not yes:
        postgres, mongo = _ask_for_databases(settings)
    if postgres and not yes and lacks_password(postgres, settings):
        password = typer.prompt("Password of the PostgreSQL user", default="", show_default=False, hide_input=True)
        postgres = with_password(postgres, password)
    found = connections(settings, postgres, mongo)
    proposals, unmovable = ask_sources(found.settings, found.kinds)
    names = stream_names(proposals)
    _show(names, unmovable)
    if not yes:
        names = _choose(names)
    for sentence in write_project(folder, names, unmovable, found.env):
        typer.echo(sentence)
    typer.echo("Read pipeline.toml, then run `adventure doctor`, `adventure process` and `adventure tasks run`.")


def _ask_for_databases(settings: "Settings") -> tuple[str | None, str | None]:
    """Ask for the addresses; an empty answer leaves a database out."""
    typer.echo("Which databases are to be moved? Press Enter to leave one out.")
    postgres = typer.prompt("PostgreSQL (postgresql://user@host:5432/database)", default="", show_default=False)
    mongo = typer.prompt("MongoDB (mongodb://host:27017)", default="", show_default=False)
    return postgres or None, mongo or None


def _show(names: "Mapping[Proposal, str]", unmovable: "list[Unmovable]") -> None:
    from adventure.core.console import console, table

    rows = table("Tables that can be moved", left=("stream", "table", "read by", "key"))
    for proposal, name in names.items():
        how = f"cursor {proposal.cursor}" if proposal.cursor else "snapshot"
        rows.add_row(name, proposal.location, how, ", ".join(proposal.key) or "-")
    console().print(rows)
    for each in unmovable:
        console().print(f"Left out: {each.location}: {each.reason}", style="yellow", markup=False)


def _choose(names: "Mapping[Proposal, str]") -> "dict[Proposal, str]":
    """Ask which streams to leave out, and whether to write the files."""
    from adventure.core.errors import ConfigError

    answer = typer.prompt("Streams to leave out, separated by commas", default="", show_default=False)
    left_out = {name.strip() for name in answer.split(",") if name.strip()}
    if unknown := left_out - set(names.values()):
        raise ConfigError(f"There is no stream {', '.join(sorted(unknown))}", "Use the names in the table above")
    chosen = {proposal: name for proposal, name in names.items() if name not in left_out}
    if not chosen:
        raise ConfigError("Every stream is left out", "Keep at least one")
    typer.confirm(f"Write pipeline.toml, .env and dbt/ with {len(chosen)} streams here?", default=True, abort=True)
    return chosen
