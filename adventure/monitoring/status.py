"""Print the output of the commands: status of the streams, staged files, results of tasks and checks.

This module only reads and renders. The modules that do the work return values.
"""

from datetime import UTC
from email.utils import format_datetime
from typing import TYPE_CHECKING

from adventure.core.ages import short_age
from adventure.core.console import console, table
from adventure.core.settings import Settings
from adventure.core.streams import Stream, find_stream
from adventure.factory import open_stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adventure.core.stage import StageEntry
    from adventure.destinations.results import Credits, TaskRun
    from adventure.monitoring.checks import Check
    from adventure.monitoring.health.problem import Problem
    from adventure.monitoring.health.state import TaskState
    from adventure.monitoring.pipeline_status import PipelineStatus

_OUTCOME = {"succeeded": "green", "failed": "bold red", "skipped": "yellow"}


def size(count: int) -> str:
    """Return a number of bytes as `17 B`, `21 kB` or `3.4 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:,.0f} kB" if count < 1e6 else f"{count / 1e6:,.1f} MB"


def print_status(settings: Settings, streams: tuple[Stream, ...]) -> "Sequence[Problem]":
    """Print the streams, the last run of each task, and the problems. Return the problems."""
    from adventure.monitoring.pipeline_status import read_status

    found = read_status(settings, streams)
    _print_parts(found)
    print_problems(found.problems)
    if not found.problems and not any(stream.rows for stream in found.streams):
        console().print("No stream has loaded a row yet.")
    return found.problems


def print_problems(problems: "Sequence[Problem]") -> None:
    """Print each root cause with its fix, and below it what follows from it."""
    from adventure.monitoring.health.causes import depth

    for problem in problems:
        colour = "bold red" if problem.severity == "error" else "yellow"
        if problem.cause:
            console().print(f"{'  ' * depth(problem)}Therefore: {problem.sentence}.", style=colour, markup=False)
        else:
            head = "Problem" if problem.severity == "error" else "Warning"
            console().print(f"{head}: {problem.sentence}.", style=colour, markup=False)
            console().print(f"  Fix: {problem.remedy}.", markup=False)
    if not problems:
        console().print("No problems found.", style="green")


def print_status_json(settings: Settings, streams: tuple[Stream, ...]) -> "Sequence[Problem]":
    """Print the same as one JSON object. Return the problems."""
    from adventure.monitoring import as_json
    from adventure.monitoring.pipeline_status import read_status

    found = read_status(settings, streams)
    as_json.write(as_json.status(found))
    return found.problems


def _print_parts(found: "PipelineStatus") -> None:
    rows = table(
        "Streams",
        left=("stream", "watermark (UTC)", "age", "reads by"),
        right=("windows staged", "waiting to load", "rows loaded", "last load", "rejected"),
    )
    for stream in found.streams:
        rows.add_row(
            stream.name,
            str(stream.watermark) if stream.watermark else "-",
            short_age(found.at - stream.watermark) if stream.watermark else "-",
            stream.mode or "-",
            f"{stream.staged:,}",
            f"{stream.waiting:,}",
            f"{stream.rows:,}",
            f"{short_age(found.at - stream.last_loaded_at)} ago" if stream.last_loaded_at else "never",
            f"[red]{stream.rejected:,}[/red]" if stream.rejected else "0",
        )
    console().print(rows)
    if sign := found.processor:
        console().print(
            f"The processor {'stopped' if sign.has_ended else 'was last seen'} {short_age(found.at - sign.seen_at)} ago"
        )
    print_task_runs(found.tasks)
    if found.credits:
        _print_credits(found.credits)
    for sentence in found.not_read:
        console().print(sentence, style="yellow", markup=False)


def _print_credits(credits: "Credits") -> None:
    """Print the credits used this month, and their limits."""
    limits = [f"CREDIT_BUDGET {credits.budget:g}"] if credits.budget else []
    limits += [f"monitor quota {credits.quota:g}"] if credits.quota else []
    console().print(f"Credits used this month: {credits.used:.3f} ({', '.join(limits) or 'no limit'})", style="bold")


def print_task_runs(runs: "Sequence[TaskRun | TaskState]") -> None:
    """Print one line per run."""
    rows = table("Tasks", left=("task", "outcome", "ended (UTC)", "message"), right=("seconds", "rows", "files"))
    for run in runs:
        seconds = (run.ended_at - run.started_at).total_seconds()
        colour = _OUTCOME[run.outcome]
        rows.add_row(
            run.task,
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


def staged_files(
    settings: Settings, streams: tuple[Stream, ...], name: str | None, *, md5: bool = False
) -> "list[tuple[str, StageEntry]]":
    """Return the staged files of one stream or of all, each with its stream's name, and with its MD5 if asked for.

    Raises:
        ConfigError: there is no stream of that name.
    """
    chosen = (find_stream(streams, name),) if name else streams
    stage = open_stage(settings)
    return [(stream.name, entry) for stream in chosen for entry in stage.entries(stream.stage, md5=md5)]


def print_stage(files: "Sequence[tuple[str, StageEntry]]") -> None:
    """Print staged files, like LIST @stage."""
    rows = table("Staged files", left=("file",), right=("size", "modified (UTC)"))
    for _, entry in files:
        rows.add_row(entry.path, size(entry.bytes), f"{entry.modified:%Y-%m-%d %H:%M:%S}")
    console().print(rows if rows.row_count else "No files are staged")


def stage_lines(files: "Sequence[tuple[str, StageEntry]]") -> "list[str]":
    """Return the columns of LIST @stage, one line a file, below a line with their names."""
    width = max((len(entry.path) for _, entry in files), default=4)
    lines = [f"{'name':{width}}  {'size':>12}  {'md5':32}  last_modified"]
    for _, entry in files:
        modified = format_datetime(entry.modified.replace(tzinfo=UTC), usegmt=True)
        lines.append(f"{entry.path:{width}}  {entry.bytes:12}  {entry.md5:32}  {modified}")
    return lines
