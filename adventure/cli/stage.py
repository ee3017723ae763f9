"""`adventure stage`: list or remove staged files."""

from typing import Annotated

import typer

from adventure.cli.general import AsJson, Commands
from adventure.cli.job import pipeline_of

app = Commands(no_args_is_help=True, help="List or remove staged files.")


@app.command("list")
def stage_list(
    context: typer.Context,
    stream: Annotated[str | None, typer.Argument(help="One stream. Default: all.")] = None,
    as_list: Annotated[
        bool,
        typer.Option("--as-list", help="Print the columns of LIST (name, size, md5, last_modified), one line a file."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List staged files, like LIST @stage."""
    from adventure.monitoring import as_json as json_output
    from adventure.monitoring.status import print_stage, stage_lines, staged_files

    if as_list and as_json:
        raise typer.BadParameter("--as-list and --json exclude each other")
    files = staged_files(*pipeline_of(context), stream, md5=as_list)
    if as_json:
        json_output.write(json_output.stage_files(files))
    elif as_list:
        typer.echo("\n".join(stage_lines(files)))
    else:
        print_stage(files)


@app.command("remove")
def stage_remove(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="The stream whose windows to remove.")],
    window: Annotated[
        str | None, typer.Argument(help="One window, as `adventure stage list` shows it. Default: all loaded windows.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Remove the window even if its rows are lost.")] = False,
) -> None:
    """Remove a stream's loaded windows, like REMOVE @stage; or one window, unless rows would be lost."""
    from adventure.core.errors import ConfigError
    from adventure.core.streams import find_stream
    from adventure.reconcile.removal import remove_loaded, remove_window

    if force and window is None:
        raise ConfigError("--force needs the name of one window", f"`adventure stage list {stream}` shows the windows")
    settings, streams = pipeline_of(context)
    found = find_stream(streams, stream)
    typer.echo(remove_window(settings, found, window, force=force) if window else remove_loaded(settings, found))
