"""`adventure stream`: change where a stream is read from, or remove it."""

from typing import Annotated

import typer

from adventure.cli.general import Commands
from adventure.cli.job import pipeline_of

app = Commands(no_args_is_help=True, help="Change where a stream is read from, or remove it.")


@app.command("reset")
def stream_reset(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The stream to read again.")],
    at: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Read from this cursor: an id in append mode, else a time (in the stream's timezone, or UTC)."
            " Default: the beginning.",
        ),
    ] = None,
) -> None:
    """Read a stream again in the next cycle, and accept its current source, table and stage."""
    from adventure.core.streams import find_stream
    from adventure.core.zones import parse_moment
    from adventure.processor.reset import reset_stream

    settings, streams = pipeline_of(context)
    stream = find_stream(streams, name)
    if at and stream.is_append:
        reset_stream(settings, stream, None, from_id=at)
        typer.echo(f"{name}: the next cycle reads from {stream.append_by} = {at}")
        return
    moment = parse_moment(at, stream.zone) if at else None
    reset_stream(settings, stream, moment)
    typer.echo(f"{name}: the next cycle reads from {moment or 'the beginning'}")


@app.command("remove")
def stream_remove(
    context: typer.Context, name: Annotated[str, typer.Argument(help="The stream that is not read any more.")]
) -> None:
    """Forget how far a stream was read, and drop the replication slot if no other stream needs it."""
    from adventure.core.streams import find_stream
    from adventure.processor.remove import remove_stream

    settings, streams = pipeline_of(context)
    for sentence in remove_stream(settings, find_stream(streams, name)):
        typer.echo(sentence)
