"""`adventure init`: begin where another pipeline stopped."""

from typing import Annotated

import typer

from adventure.cli.job import pipeline_of


def init(
    context: typer.Context,
    from_existing: Annotated[
        bool,
        typer.Option("--from-existing", help="Take over the watermark of another pipeline, which is only read."),
    ] = False,
    table: Annotated[str, typer.Option(help="Its table in the source database.")] = "processor_metadata",
    timezone: Annotated[
        str | None, typer.Option(help="Zone of last_export if it has none, such as America/Denver.")
    ] = None,
    overlap: Annotated[str, typer.Option(help="How much before last_export to begin: 10s, 5m, 1h.")] = "1h",
) -> None:
    """Set up the streams: with --from-existing, begin where another pipeline stopped."""
    from datetime import timedelta

    from adventure.core.errors import ConfigError
    from adventure.core.settings import parse_duration
    from adventure.processor.existing import take_over

    if not from_existing:
        raise ConfigError("adventure init needs --from-existing", "Without it, the first cycle reads whole tables")
    settings, streams = pipeline_of(context)
    for sentence in take_over(
        settings, streams, table=table, zone=timezone, overlap=timedelta(seconds=parse_duration(overlap))
    ):
        typer.echo(sentence)
