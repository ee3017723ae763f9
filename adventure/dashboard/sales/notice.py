"""Problems of the pipeline in the words of a sales manager: which figures are incomplete, and since when.

The Pipeline page has the causes and the fixes. This module must not import Streamlit.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from adventure.dashboard import format
from adventure.monitoring.health.problem import Kind, Problem
from adventure.monitoring.health.state import StreamState, watermark_utc

_FIGURES = {
    "orders_raw": ("Sales", "orders"),
    "order_details_raw": ("Product", "sales"),
    "chat_logs_raw": ("Support", "chats"),
}
"""By raw table: the figures that are made from it, and what they count."""
_SOME = ("Some", "sales")
_INCOMPLETE: tuple[Kind, ...] = ("window_damaged", "window_lost")
"""Rows are missing from the middle of the data, so that there is no time since when."""


def notice(problems: Sequence[Problem], streams: Sequence[StreamState], now: datetime, as_of: datetime | None) -> str:
    """Return sentences on the figures that may be incomplete or wrong; empty if there are none.

    Args:
        problems: all problems of the pipeline.
        streams: the streams of the report.
        as_of: up to when sales were read, for a stream that says nothing of itself.
    """
    errors = [problem for problem in problems if problem.severity == "error"]
    gaps = [problem for problem in errors if problem.kind in _INCOMPLETE]
    late = [
        problem
        for problem in errors
        if problem.kind not in (*_INCOMPLETE, "test_failed", "reconcile_failed") and not _follows(problem, errors)
    ]
    names = {name for problem in late for name in problem.streams or [stream.stream for stream in streams]}
    sentences = _late(names, streams, now, as_of) if late else []
    holes = {name for problem in gaps for name in problem.streams}
    sentences += [f"{figures} figures may miss some {what}" for figures, what in _concerned(holes, streams)]
    if any(problem.kind == "test_failed" for problem in errors):
        sentences.append("A check of the data failed, so some figures may be old or wrong")
    if any(problem.kind == "reconcile_failed" for problem in errors):
        sentences.append("A comparison with the source did not succeed, so some figures may be wrong")
    rejected = sum(
        stream.rejected_recently
        for stream in streams
        if any(problem.kind == "rows_rejected" and stream.stream in problem.streams for problem in problems)
    )
    if rejected:
        records = "1 record of the last day is" if rejected == 1 else f"{rejected:,} records of the last day are"
        sentences.append(f"{records} not in the figures, because a value could not be read")
    return f"{'. '.join(sentences)}. The data team sees this." if sentences else ""


def _follows(problem: Problem, errors: Sequence[Problem]) -> bool:
    """Return whether the problem only repeats what a failed check or comparison says."""
    kinds = {error.kind for error in errors if problem.cause and error.sentence == problem.cause.sentence}
    return bool(kinds & {"test_failed", "reconcile_failed"})


def _late(names: set[str], streams: Sequence[StreamState], now: datetime, as_of: datetime | None) -> list[str]:
    """Return a sentence for each kind of figures that newer rows may not have reached."""
    if not streams or names >= {stream.stream for stream in streams}:
        ends = [moment for stream in streams if (moment := watermark_utc(stream))]
        return [f"All figures may miss sales{_since(min(ends, default=as_of), now)}"]
    sentences = []
    for figures, what in _concerned(names, streams):
        ends = [
            moment
            for stream in streams
            if stream.stream in names and _figures(stream) == (figures, what) and (moment := watermark_utc(stream))
        ]
        sentences.append(f"{figures} figures may miss {what}{_since(min(ends, default=as_of), now)}")
    return sentences


def _concerned(names: Iterable[str], streams: Sequence[StreamState]) -> list[tuple[str, str]]:
    """Return the figures that the streams feed, each once, in the order of the streams."""
    wanted = set(names)
    return list(dict.fromkeys(_figures(stream) for stream in streams if stream.stream in wanted))


def _figures(stream: StreamState) -> tuple[str, str]:
    return _FIGURES.get(stream.raw_table.rpartition(".")[2], _SOME)


def _since(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    return f" since {format.clock(moment)}" if moment.date() == now.date() else f" since {format.moment(moment)}"
