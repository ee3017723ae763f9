"""`adventure init`: write a project for a live database, or begin where another pipeline stopped."""

from typing import TYPE_CHECKING, Annotated

import typer

from adventure.cli.job import pipeline_of, settings_of
from adventure.core.kinds import SOURCES

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
        # An option that asks a source has the name of its kind.
        addresses = {kind: context.params[kind] for kind in SOURCES if context.params.get(kind)}
        _write_project(settings_of(context), addresses, yes=yes)


def _take_over(context: typer.Context, table: str, timezone: str | None, overlap: str) -> None:
    from datetime import timedelta

    from adventure.core.ages import parse_duration
    from adventure.processor.existing import take_over

    settings, streams = pipeline_of(context)
    for sentence in take_over(
        settings, streams, table=table, zone=timezone, overlap=timedelta(seconds=parse_duration(overlap))
    ):
        typer.echo(sentence)


def _write_project(settings: "Settings", addresses: dict[str, str], *, yes: bool) -> None:
    from pathlib import Path

    from adventure.scaffold.connections import connections, lacks_password
    from adventure.scaffold.names import stream_names
    from adventure.scaffold.project import ask_sources, refuse_existing, write_project

    folder = Path()
    refuse_existing(folder)
    if not addresses and not yes:
        addresses = _ask_for_addresses()
    without = [] if yes else [kind for kind in addresses if lacks_password(SOURCES[kind], addresses[kind], settings)]
    found = connections(settings, addresses, {kind: _ask_for_password(kind) for kind in without})
    proposals, unmovable = ask_sources(found.settings, found.kinds)
    names = stream_names(proposals)
    _show(names, unmovable)
    if not yes:
        names = _choose(names)
    for sentence in write_project(folder, names, unmovable, found.env):
        typer.echo(sentence)
    typer.echo("Read pipeline.toml, then run `adventure doctor`, `adventure process` and `adventure tasks run`.")


def _ask_for_addresses() -> dict[str, str]:
    """Ask for the address of each kind of source; an empty answer leaves it out."""
    from adventure.scaffold.connections import askable

    typer.echo("Which databases are to be moved? Press Enter to leave one out.")
    answers = {
        kind.name: typer.prompt(f"{kind.title} ({kind.address})", default="", show_default=False) for kind in askable()
    }
    return {kind: address for kind, address in answers.items() if address}


def _ask_for_password(kind: str) -> str:
    answer: str = typer.prompt(
        f"Password of the {SOURCES[kind].title} user", default="", show_default=False, hide_input=True
    )
    return answer


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
