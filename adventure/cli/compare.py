"""The commands that compare sources and warehouse: `check`, `reconcile` and `rejects`."""

from datetime import datetime
from typing import Annotated

import typer

from adventure.cli.general import AsJson
from adventure.cli.job import pipeline_of, settings_of


def check(
    context: typer.Context,
    queries: Annotated[
        bool,
        typer.Option("--queries", help="Print the results of the two validation queries, and check nothing."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare source, raw tables and models, and print a table. Exit code 1 if a check does not hold."""
    from adventure.core.errors import CheckFailed
    from adventure.monitoring import as_json as json_output
    from adventure.monitoring.checks import run_checks
    from adventure.monitoring.status import print_checks

    if queries:
        from adventure.monitoring.queries import print_results, results_object, run_queries

        results = run_queries(settings_of(context))
        json_output.write(results_object(results)) if as_json else print_results(results)
        return
    checks = run_checks(*pipeline_of(context))
    if as_json:
        json_output.write(json_output.checks(checks))
    else:
        print_checks(checks)
    failed = [each.label for each in checks if each.failed]
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(checks)} checks do not hold: {', '.join(failed)}")


def reconcile(
    context: typer.Context,
    stream: Annotated[str | None, typer.Argument(help="One stream. Default: all.")] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Stage missing and outdated rows, and mark rows as deleted that the source has deleted."
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="With --repair: mark rows as deleted even if they are more than 10 % of the stream's keys."
        ),
    ] = False,
    rows: Annotated[
        bool, typer.Option("--rows", help="Compare whole rows, not only keys and cursors. Reads every column.")
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="WINDOW", help="Ignore this staged window, because it will not be loaded."),
    ] = None,
    low: Annotated[
        datetime | None,
        typer.Option("--from", metavar="TIME", help="Compare from this cursor (UTC). Default: the lowest."),
    ] = None,
    high: Annotated[
        datetime | None,
        typer.Option("--to", metavar="TIME", help="Compare below this cursor (UTC). Default: the watermark."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare source and warehouse by key and version. Exit code 1 if rows differ and were not repaired."""
    from adventure.core.console import console
    from adventure.core.errors import CheckFailed, ConfigError
    from adventure.core.log import get_logger
    from adventure.core.streams import find_stream
    from adventure.monitoring import as_json as json_output
    from adventure.reconcile.as_json import reports as reports_as_json
    from adventure.reconcile.report import print_reports
    from adventure.reconcile.run import reconcile as run_reconciliation

    if force and not repair:
        raise ConfigError("--force has no effect without --repair", "Add --repair, or leave out --force")
    settings, streams = pipeline_of(context)
    chosen = (find_stream(streams, stream),) if stream else tuple(each for each in streams if not each.is_replaced)
    if not stream and (keyless := [each.name for each in streams if each.is_replaced]):
        get_logger().info(
            f"reconcile: leaves out {', '.join(keyless)}: their rows have no key. `adventure check` compares how many"
            " there are"
        )
    reports = run_reconciliation(
        settings, chosen, repair=repair, force=force, low=low, high=high, without=without or (), rows=rows
    )
    if as_json:
        json_output.write(reports_as_json(reports))
    else:
        print_reports(console(), reports)
    refused = [report.stream.name for report in reports if report.failure]
    different = [report.stream.name for report in reports if not report.is_clean and not report.failure]
    found = [f"Source and warehouse differ in {', '.join(different)}"] * bool(different)
    found += [f"{', '.join(refused)} could not be compared"] * bool(refused)
    if found:
        raise CheckFailed("; ".join(found), "The output above names a fix for each")


def rejects(
    context: typer.Context,
    stream: Annotated[str | None, typer.Argument(help="One stream. Default: all.")] = None,
    every: Annotated[bool, typer.Option("--all", help="List the rows that came back, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Rows to list, the newest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the rejected rows: key, column, reason, and how they come back."""
    from adventure.core.streams import find_stream
    from adventure.monitoring import as_json as json_output
    from adventure.reconcile.rejects import print_rejects, read_rejects, rejects_object

    settings, streams = pipeline_of(context)
    found = read_rejects(settings, (find_stream(streams, stream),) if stream else streams)
    if as_json:
        json_output.write(rejects_object(found, limit=limit, returned=every))
    else:
        print_rejects(found, limit=limit, returned=every)
