"""`adventure raw`: take over raw tables that another load script filled."""

from typing import Annotated

import typer

from adventure.cli.general import Commands
from adventure.cli.job import pipeline_of

app = Commands(no_args_is_help=True, help="Take over raw tables that another load script filled.")


@app.command("adopt")
def raw_adopt(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The stream whose raw table receives the rows.")],
    table: Annotated[
        str | None,
        typer.Option("--from", help="Copy from this table (schema.table). Default: the raw table, which is renamed."),
    ] = None,
) -> None:
    """Copy the rows of a table that another load script filled into the stream's raw table. DuckDB only."""
    from adventure.core.streams import find_stream
    from adventure.factory import open_warehouse

    settings, streams = pipeline_of(context)
    stream = find_stream(streams, name)
    rows = open_warehouse(settings).adopt(stream, table)
    typer.echo(f"{name}: {rows:,} rows were copied into {stream.raw_table}; the next build reads them")
