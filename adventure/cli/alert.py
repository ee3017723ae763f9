"""`adventure alert`: send alerts, or test where they are sent."""

from typing import Annotated

import typer

from adventure.cli.job import pipeline_of


def alert(
    context: typer.Context,
    test: Annotated[
        bool, typer.Option("--test", help="Send a test message to each URL, and say which one accepted it.")
    ] = False,
) -> None:
    """Send the problems that began or ended since the last look to ALERT_URLS. Exit code 1 if a URL accepts none.

    The task server does this every minute. Let a timer run this command where no task server runs, or to learn that it
    stopped.
    """
    from adventure.monitoring.alerts.channels import open_channels, outcome
    from adventure.monitoring.alerts.send import Alerts, send_test
    from adventure.monitoring.health.rules import find_problems
    from adventure.monitoring.live import read_state

    settings, streams = pipeline_of(context)
    if test:
        answers = send_test(open_channels(settings))
        for name, reason in answers:
            typer.echo(outcome(name, reason))
        failed = sum(reason is not None for _, reason in answers)
    else:
        alerts = Alerts(settings)
        sent = alerts.send(find_problems(read_state(settings, streams)))
        typer.echo(f"{sent.began} problems began, {sent.ended} ended, {sent.unsent} messages were not accepted")
        failed = sent.unsent
    if failed:
        raise typer.Exit(1)
