"""What `adventure reconcile` prints."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console

from adventure.core.console import table
from adventure.core.spans import moment
from adventure.core.streams import Stream
from adventure.destinations.common.ledger import LATENESS as BOUNDS
from adventure.reconcile.comparison import VERDICTS, Example
from adventure.reconcile.repair import Repaired
from adventure.reconcile.run import Report

_REMEDIES = {
    "missing": "`adventure reconcile --repair` stages them",
    "stale": "`adventure reconcile --repair` stages them",
    "changed": "`adventure reconcile --rows --repair` stages them",
    "deleted": "`adventure reconcile --repair` marks them as deleted",
    "behind": "give them a later cursor at the source: the models keep the latest version",
    "unusable": "give them a cursor at the source, and the next window brings them",
}


def print_reports(console: Console, reports: Sequence[Report]) -> None:
    """One line a stream, then what differs with examples, then how late rows were."""
    rows = table(
        "Source and warehouse, below the watermark",
        left=("stream", "from", "to"),
        right=("rows at source", *VERDICTS, "set aside", "in flight"),
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
    """How many rows of the sources were compared; a stream without any is named, since it shows nothing."""
    total = sum(report.result.rows for report in reports if report.result)
    none = [report.stream.name for report in reports if not (report.result and report.result.rows)]
    without = f" Nothing was compared of {', '.join(none)}." if none else ""
    return f"Compared {total:,} rows of the sources.{without}"


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
            f"{report.stream.name}: {count:,} rows are rejected; raw_ext.rejected_rows has their reasons. Fix them at"
            f" the source, or the stream's types in pipeline.toml; `adventure reconcile {report.stream.name} --repair`"
            " stages those that can be converted then",
            markup=False,
        )
    if repaired := report.repaired:
        console.print(
            f"{report.stream.name}: staged {repaired.rows:,} rows and {repaired.deleted:,} deletions"
            + (f", set {repaired.rejected:,} rows aside" if repaired.rejected else "")
            + "; the next `adventure tasks run` loads them"
        )
        if repaired.withheld:
            _print_withheld(console, report.stream, repaired)


def _print_withheld(console: Console, stream: Stream, repaired: Repaired) -> None:
    share = repaired.withheld / repaired.living if repaired.living else 1
    console.print(
        f"{stream.name}: nothing is marked as deleted, because that would be {repaired.withheld:,} of"
        f" {repaired.living:,} living keys ({share * 100:.0f} %), the first of which are shown above. See that the role"
        f" sees all rows of {stream.location}, and that this is the right table. If they really are deleted at the"
        f" source, run `adventure reconcile {stream.name} --repair --force`.",
        style="bold red",
        markup=False,
    )


def _print_lateness(console: Console, reports: Sequence[Report]) -> None:
    late = [(report, report.lateness) for report in reports if report.lateness and report.lateness.rows]
    if not late:
        console.print("No row landed below its watermark: no stream needs a longer lookback.")
        return
    rows = table(
        "Rows that landed below the watermark, by how much",
        left=("stream", ""),
        right=(*BOUNDS, "lookback", "suggested"),
    )
    for report, lateness in late:
        has = f"{report.stream.lookback.total_seconds():g} s"
        suggested = f"{max(lateness.lookback, report.stream.lookback).total_seconds():g} s"
        rows.add_row(report.stream.name, "loaded", *map(_plain, lateness.loaded), has, suggested)
        if any(lateness.missing):
            rows.add_row("", "missing (at most so late)", *map(_plain, lateness.missing))
    console.print(rows)
    for report, lateness in late:
        if lateness.beyond:
            console.print(
                f"{report.stream.name}: {lateness.beyond:,} rows are more than an hour below the watermark, for which"
                " no lookback is meant: see what wrote them, or lost them"
            )


def _shown(example: Example) -> str:
    return f"{example.key}: at the source {_when(example.source)}, in the warehouse {_when(example.held)}"


def _count(count: int) -> str:
    return f"[bold red]{count:,}[/bold red]" if count else "0"


def _plain(count: int) -> str:
    return f"{count:,}" if count else ""


def _when(value: datetime | None) -> str:
    return str(value) if value else "none"
