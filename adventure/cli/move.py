"""The commands that bring rows from the sources to the models: `process`, `load` and `build`."""

from typing import TYPE_CHECKING, Annotated

import typer

from adventure.cli.job import general_of, pipeline_of, run_loads, run_tasks
from adventure.cli.processing import prepare_imports
from adventure.cli.processing import process as run_processor

if TYPE_CHECKING:
    from adventure.core.settings import Settings
    from adventure.core.streams import Stream


def process(
    context: typer.Context,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what the next cycle would read, and stage nothing.")
    ] = False,
) -> None:
    """Extract and stage new rows: one cycle, or one every PROCESSOR_INTERVAL_SEC."""
    if plan:
        prepare_imports()
        _print_plan(*pipeline_of(context))
        return
    run_processor(general_of(context))


def _print_plan(settings: "Settings", streams: "tuple[Stream, ...]") -> None:
    from adventure.processor.preview import preview, print_previews

    previews = preview(settings, streams)
    print_previews(previews)
    if any(each.problem for each in previews):
        raise typer.Exit(1)


def load(context: typer.Context) -> None:
    """Load what is staged into the raw tables, and remove the loaded files. Exit code 1 if a stream fails."""
    run_loads(context)


def build(
    context: typer.Context,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Rebuild every model from the raw tables.")
    ] = False,
) -> None:
    """Build and test all dbt models, and publish the dashboard's data."""
    run_tasks(context, "build", scope="full refresh" if full_refresh else "whole")
