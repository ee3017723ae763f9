"""Print the output of `adventure reconcile`."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console

from adventure.core.console import table
from adventure.core.spans import moment
from adventure.core.streams import Stream
from adventure.destinations.common.lateness import LATENESS as BOUNDS
from adventure.reconcile.repair import RepairResult
from adventure.reconcile.result import VERDICTS, Example
from adventure.reconcile.run import Report

_REMEDIES = {
    "missing": "`adventure reconcile --repair` stages them",
    "stale": "`adventure reconcile --repair` stages them",
    "changed": "`adventure reconcile --rows --repair` stages them",
    "deleted": "`adventure reconcile --repair` marks them as deleted",
    "behind": "set a later cursor on them at the source; the models keep the latest version",
    "unusable": "set a cursor on them at the source; the next window then contains them",
}


def print_reports(console: Console, reports: Sequence[Report]) -> None:
    """Print one line per stream, then the differences with examples, then the lateness of rows."""
    rows = table(
        "Source and warehouse, below the watermark",
        left=("stream", "from", "to"),
        right=("rows at source", *VERDICTS, "rejected", "in flight"),
    )
    for report in reports:
        result = report.result
        if result is None:
            why = "not compared" if report.failure else "never read"
            rows.add_row(report.stream.name, why, "-", *["-"] * (len(VERDICTS) + 3))
            continue
        found = [_count(result.count(verdict)) for verdict in VERDICTS]
        begin, end = (moment(result.span.low), moment(result.span.high)) if result.span else (None, None)
        others = (f"{result.count('rejected'):,}", f"{result.count('in flight'):,}")
        rows.add_row(report.stream.name, _when(begin), _when(end), f"{result.rows:,}", *found, *others)
    console.print(rows)
    console.print(_compared(reports))
    for report in reports:
        _print_differences(console, report)
    _print_lateness(console, reports)


def _compared(reports: Sequence[Report]) -> str:
    """Return how many source rows were compared. Name streams without compared rows: they prove nothing."""
    total = sum(report.result.rows for report in reports if report.result)
    none = [report.stream.name for report in reports if not (report.result and report.result.rows)]
    without = f" Nothing was compared for {', '.join(none)}." if none else ""
    return f"Compared {total:,} source rows.{without}"


def _print_differences(console: Console, report: Report) -> None:
    if report.failure:
        console.print(str(report.failure), style="bold red", markup=False)
    if report.result is None:
        return
    for verdict, meaning in VERDICTS.items():
        if count := report.result.count(verdict):
            console.print(f"[bold]{report.stream.name}: {count:,} {verdict}[/bold] ({meaning}): {_REMEDIES[verdict]}")
            for example in report.result.verdicts[verdict].examples:
                console.print(f"  {_shown(example)}", markup=False)
    if count := report.result.count("rejected"):
        console.print(
            f"{report.stream.name}: {count:,} rows are rejected; `adventure rejects {report.stream.name}` lists them."
            " Fix them at the source, or the stream's types in pipeline.toml;"
            f" `adventure reconcile {report.stream.name} --repair` then stages the rows that can be converted",
            markup=False,
        )
    if repaired := report.repaired:
        console.print(
            f"{report.stream.name}: staged {repaired.rows:,} rows and {repaired.deleted:,} deletions"
            + (f", rejected {repaired.rejected:,} rows" if repaired.rejected else "")
            + "; the next `adventure tasks run` loads them"
        )
        if repaired.withheld:
            _print_withheld(console, report.stream, repaired)


def _print_withheld(console: Console, stream: Stream, repaired: RepairResult) -> None:
    share = repaired.withheld / repaired.live_keys if repaired.live_keys else 1
    console.print(
        f"{stream.name}: no rows are marked as deleted, because they are {repaired.withheld:,} of"
        f" {repaired.live_keys:,} live keys ({share * 100:.0f} %). The first ones are shown above. Check that the role"
        f" can see all rows of {stream.location}, and that this is the right table. If they are really deleted at the"
        f" source, run `adventure reconcile {stream.name} --repair --force`.",
        style="bold red",
        markup=False,
    )


def _print_lateness(console: Console, reports: Sequence[Report]) -> None:
    late = [(report, report.lateness) for report in reports if report.lateness and report.lateness.rows]
    if not late:
        console.print("No row arrived below its watermark. No stream needs a longer lookback.")
        return
    rows = table(
        "Rows that arrived below the watermark, by how much",
        left=("stream", ""),
        right=(*BOUNDS, "lookback", "suggested"),
    )
    for report, lateness in late:
        has = f"{report.stream.lookback.total_seconds():g} s"
        suggested = f"{max(lateness.lookback, report.stream.lookback).total_seconds():g} s"
        rows.add_row(report.stream.name, "loaded", *map(_plain, lateness.loaded), has, suggested)
        if any(lateness.missing):
            rows.add_row("", "missing (at most this late)", *map(_plain, lateness.missing))
    console.print(rows)
    for report, lateness in late:
        if lateness.beyond:
            console.print(
                f"{report.stream.name}: {lateness.beyond:,} rows are more than an hour below the watermark. A longer"
                " lookback is not the fix: find out what wrote or lost them"
            )


def _shown(example: Example) -> str:
    return f"{example.key}: at the source {_when(example.source)}, in the warehouse {_when(example.held)}"


def _count(count: int) -> str:
    return f"[bold red]{count:,}[/bold red]" if count else "0"


def _plain(count: int) -> str:
    return f"{count:,}" if count else ""


def _when(value: datetime | None) -> str:
    return str(value) if value else "none"
