"""The commands that serve what is published: `dashboard` and `mcp`."""

from typing import Annotated

import typer

from adventure.cli.job import pipeline_of, settings_of
from adventure.cli.processing import run_long_lived
from adventure.core.extras import naming_extra


def dashboard(context: typer.Context) -> None:
    """Serve the dashboard on DASHBOARD_PORT."""
    from adventure.dashboard.serve import serve

    settings = settings_of(context)
    run_long_lived(settings, lambda stop: serve(settings, stop))


def mcp(
    context: typer.Context,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Serve HTTP on this port of the loopback address. Default: stdio."),
    ] = None,
) -> None:
    """Serve status, models and bounded queries to an agent, read-only, by the Model Context Protocol."""

    with naming_extra("The server for agents"):
        from adventure.mcp.server import serve

    serve(*pipeline_of(context), port)
