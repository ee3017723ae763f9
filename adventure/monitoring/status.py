"""Print the output of the commands: status of the streams, staged files, results of tasks and checks.

This module only reads and renders. The modules that do the work return values.
"""

from typing import TYPE_CHECKING

from adventure.core import heartbeat
from adventure.core.ages import short_age
from adventure.core.clock import utc_now
from adventure.core.console import console, table
from adventure.core.errors import SourceError, WarehouseError
from adventure.core.settings import Settings
from adventure.core.streams import Stream, find_stream
from adventure.core.zones import to_utc
from adventure.factory import open_stage

if TYPE_CHECKING:
    from adventure.core.watermark import Watermark
    from adventure.destinations.warehouse import Metering, TaskRun
    from adventure.monitoring.checks import Check
    from adventure.monitoring.problems import Problem

_OUTCOME = {"succeeded": "green", "failed": "bold red", "skipped": "yellow"}


def size(count: int) -> str:
    """Return a number of bytes as `17 B`, `21 kB` or `3.4 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:,.0f} kB" if count < 1e6 else f"{count / 1e6:,.1f} MB"


def print_status(settings: Settings, streams: tuple[Stream, ...]) -> "list[Problem]":
    """Print the streams, the last run of each task, and the problems. Return the problems."""
    from adventure.factory import open_warehouse
    from adventure.monitoring.problems import find_problems

    now = utc_now()
    # Open the warehouse first: it fails at once when it cannot be reached, a source only after some time.
    warehouse, stage = open_warehouse(settings), open_stage(settings)
    totals = warehouse.totals(streams)
    watermarks = _watermarks(settings)
    rows = table(
        "Streams",
        left=("stream", "watermark (UTC)", "age", "reads by"),
        right=("windows staged", "waiting to load", "rows loaded", "last load", "rejected"),
    )
    for stream in streams:
        mark, total = watermarks.get(stream.name), totals[stream.name]
        windows = stage.windows(stream.stage)
        waiting = len(windows) - len(warehouse.loaded(windows))
        value = to_utc(mark.value, stream.zone) if mark else None
        rows.add_row(
            stream.name,
            str(value) if value else "-",
            short_age(now - value) if value else "-",
            mark.mode if mark else "-",
            f"{len(windows):,}",
            f"{waiting:,}",
            f"{total.rows:,}",
            f"{short_age(now - total.last_loaded_at)} ago" if total.last_loaded_at else "never",
            f"[red]{total.rejected:,}[/red]" if total.rejected else "0",
        )
    console().print(rows)
    if sign := heartbeat.read(settings.processor_heartbeat):
        console().print(
            f"The processor {'stopped' if sign.has_ended else 'was last seen'} {short_age(now - sign.seen_at)} ago"
        )
    print_task_runs(warehouse.last_runs())
    _print_credits(warehouse)
    problems = find_problems(settings, streams, warehouse)
    for problem in problems:
        console().print(f"Problem: {problem.sentence}.", style="bold red", markup=False)
        console().print(f"  Fix: {problem.remedy}.", markup=False)
    if not problems:
        console().print("No problems found.", style="green")
    return problems


def _print_credits(warehouse: "Metering") -> None:
    """Print the credits used this month. If they cannot be read, the rest of the status is still shown."""
    try:
        credits = warehouse.credits()
    except WarehouseError as error:
        console().print(f"Credits are not shown: {error}", style="yellow")
        return
    if credits is None:
        return
    limits = [f"CREDIT_BUDGET {credits.budget:g}"] if credits.budget else []
    limits += [f"monitor quota {credits.quota:g}"] if credits.quota else []
    console().print(f"Credits used this month: {credits.used:.3f} ({', '.join(limits) or 'no limit'})", style="bold")


def _watermarks(settings: Settings) -> "dict[str, Watermark]":
    """Return the watermarks. If the state cannot be read, print why and return none: the rest is still shown."""
    from adventure.processor.state import read_watermarks

    try:
        return read_watermarks(settings, brief=True)
    except SourceError as error:
        console().print(f"Watermarks are not shown: {error}", style="yellow")
        return {}


def print_task_runs(runs: "list[TaskRun]") -> None:
    """Print one line per run."""
    rows = table("Tasks", left=("task", "outcome", "ended (UTC)", "message"), right=("seconds", "rows", "files"))
    for run in runs:
        seconds = (run.ended_at - run.started_at).total_seconds()
        colour = _OUTCOME[run.outcome]
        rows.add_row(
            run.name,
            f"[{colour}]{run.outcome}[/{colour}]",
            f"{run.ended_at:%m-%d %H:%M:%S}",
            run.message,
            f"{seconds:.1f}",
            f"{run.rows:,}",
            f"{run.files:,}",
        )
    console().print(rows)


def print_checks(checks: "list[Check]") -> None:
    """Print one line per check. The two periods of a metric are side by side."""
    rows = table("Is the data complete?", left=("check", "expected", "found", ""))
    for check in checks:
        if not check.period:
            rows.add_row(check.name, check.expected, check.actual, _verdict(check))
    console().print(rows)
    metrics: dict[str, dict[str, Check]] = {}
    for check in checks:
        if check.period:
            metrics.setdefault(check.name, {})[check.period] = check
    if not metrics:
        return
    periods = list(next(iter(metrics.values())))
    heads = [f"{period}\n{column}" if column else "" for period in periods for column in ("expected", "found", "")]
    rows = table(
        "Are the sales plausible? Rows at each layer, and shares of values that are not null", left=("metric", *heads)
    )
    for name, found in metrics.items():
        rows.add_row(name, *[cell for c in found.values() for cell in (c.expected, c.actual, _verdict(c))])
    console().print(rows)


def _verdict(check: "Check") -> str:
    if check.holds is None:
        return "[dim]not judged[/dim]"
    return "[green]holds[/green]" if check.holds else "[bold red]does not hold[/bold red]"


def print_stage(settings: Settings, streams: tuple[Stream, ...], name: str | None) -> None:
    """Print the staged files of one stream or of all, like LIST @stage."""
    chosen = (find_stream(streams, name),) if name else streams
    stage = open_stage(settings)
    rows = table("Staged files", left=("file",), right=("size", "modified (UTC)"))
    for stream in chosen:
        for entry in stage.entries(stream.stage):
            rows.add_row(entry.path, size(entry.bytes), f"{entry.modified:%Y-%m-%d %H:%M:%S}")
    console().print(rows if rows.row_count else "No files are staged")
