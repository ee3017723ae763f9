"""`adventure digest`: yesterday's sales as an HTML page or mail."""

import os
from pathlib import Path
from typing import Annotated

import typer

from adventure.cli.job import pipeline_of


def digest(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the page to this file.")] = None,
    send: Annotated[bool, typer.Option("--send", help="Send the page to each of ALERT_URLS.")] = False,
) -> None:
    """Write yesterday's sales and the sales to date as an HTML page, or send it to ALERT_URLS.

    Let a timer run it every morning. Printed, the page is one A4 sheet. Exit code 1 if a URL does not accept it.
    """
    from adventure.core.clock import utc_now
    from adventure.core.errors import ConfigError
    from adventure.core.extras import naming_extra
    from adventure.factory import dashboard_environment, open_sales
    from adventure.monitoring.alerts.channels import open_channels, outcome
    from adventure.monitoring.health.rules import find_problems
    from adventure.monitoring.live import read_state

    with naming_extra("The digest", "dashboard"):
        from adventure.dashboard.sales import digest as page
        from adventure.dashboard.sales.metrics import publication
        from adventure.dashboard.sales.notice import notice
    settings, streams = pipeline_of(context)
    channels = open_channels(settings) if send else ()
    if not send and output is None:
        raise ConfigError("Nowhere to put the digest", "Name a file with --output, or add --send")
    os.environ.update(dashboard_environment(settings))
    dataset, now = open_sales(), utc_now()
    if dataset.version() is None:
        raise ConfigError("Nothing has been published yet", "Run `adventure tasks run`")
    state = read_state(settings, streams)
    as_of = publication(dataset.query).data_as_of
    text = page.digest(dataset.query, now, notice(find_problems(state), state.report.streams, now, as_of))
    if output:
        output.write_text(text, encoding="utf-8")
        typer.echo(f"Wrote {output}")
    refused = 0
    for channel in channels:
        reason = channel.send(page.title(now), text, "digest", html=True)
        typer.echo(outcome(channel.name, reason))
        refused += reason is not None
    if refused:
        raise typer.Exit(1)
