"""`adventure stage`: lists what is staged, or removes it."""

from typing import Annotated

import typer

from adventure.cli.job import pipeline_of

app = typer.Typer(no_args_is_help=True, help="Lists what is staged, or removes it.")


@app.command("list")
def stage_list(
    context: typer.Context, stream: Annotated[str | None, typer.Argument(help="One stream. Default: all.")] = None
) -> None:
    """Lists staged files, like LIST @stage."""
    from adventure.monitoring.status import print_stage

    print_stage(*pipeline_of(context), stream)


@app.command("remove")
def stage_remove(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="The stream whose windows to remove.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="Remove windows that were not loaded, too: their rows are lost to the warehouse."),
    ] = False,
) -> None:
    """Removes a stream's loaded windows, like REMOVE @stage; with --force, all of them."""
    from adventure.monitoring.status import remove_windows

    remove_windows(*pipeline_of(context), stream, force=force)
