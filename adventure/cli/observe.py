"""The commands that show how the pipeline is: `status`, `doctor` and `health`."""

from pathlib import Path
from typing import Annotated

import typer

from adventure.cli.ending import ExitAtOnce
from adventure.cli.general import AsJson
from adventure.cli.job import general_of, pipeline_of


def status(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with code 1 if there is a problem. For monitors.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show each stream's watermark, waiting windows and loaded rows, the last task runs, and all problems."""
    from adventure.monitoring.status import print_status, print_status_json

    problems = (print_status_json if as_json else print_status)(*pipeline_of(context))
    raise ExitAtOnce(1 if check and problems else 0)


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Examine settings, databases, privileges, tables, state, warehouse and disk. Exit code 1 if something is wrong.

    It writes nothing.
    """
    from adventure.monitoring import as_json as json_output
    from adventure.monitoring.doctor import examine, findings_object, print_findings

    findings = examine(*pipeline_of(context), general_of(context).env or Path(".env"))
    if as_json:
        json_output.write(findings_object(findings))
    else:
        print_findings(findings)
    raise ExitAtOnce(1 if any(each.level == "error" for each in findings) else 0)


def health(
    file: Annotated[Path, typer.Argument(envvar="HEARTBEAT_FILE", help="The heartbeat file of a long-lived command.")],
) -> None:
    """Check whether a long-lived command is stuck. Exit code 1 if it is. For health checks.

    A processor that retries is not stuck: a restart would not help it. The output says what it retries.
    """
    from adventure.core.failures import beside, read
    from adventure.core.heartbeat import check as check_heartbeat

    found = check_heartbeat(file)
    typer.echo(found.sentence)
    for failure in read(beside(file)):
        typer.echo(f"Failing since {failure.since:%H:%M} UTC: {', '.join(failure.streams)}: {failure.problem}")
    if not found.alive:
        raise typer.Exit(1)
