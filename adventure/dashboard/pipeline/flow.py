"""The flow diagram: sources → stages → raw → models → dashboard, with the current state of each step.

Plain HTML and CSS, so that it follows the page's colours and width. On a narrow screen the steps are stacked.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from adventure.core.ages import long_age
from adventure.dashboard import format
from adventure.dashboard.format import breakable, markup
from adventure.dashboard.pipeline.state import State
from adventure.monitoring.health.problem import Kind, Problem, Severity
from adventure.monitoring.health.state import StreamState, watermark_utc

Mark = Severity | Literal["open"] | None
"""`open`: nothing has happened yet, or not all of it is right; None: all is right."""

_MARKS: dict[Mark, str] = {"error": "✕", "warning": "!", "open": "–", None: "✓"}
_ALL_STREAMS: tuple[Kind, ...] = ("processor_stopped", "processor_stuck", "watermarks_unavailable")
"""Problems that concern the source of every stream."""
_ELSEWHERE: tuple[Kind, ...] = ("task_failed", "rows_rejected")
"""Problems of a stream that its raw table shows, not its source and stage."""
_LABELS: dict[Mark, str] = {"error": "error", "warning": "warning", "open": "open", None: "ok"}

_STYLE = """
<style>
.flow {display: grid; grid-template-columns: 1fr auto 1fr auto 1fr auto 1fr auto 1fr; gap: 0.5rem 0.45rem;
  font-size: 0.86rem; line-height: 1.35;
  align-items: stretch}
.flow .head {font-weight: 600; padding-bottom: 0.1rem}
.flow .node {border: 1px solid color-mix(in srgb, currentColor 25%, transparent); border-left: 4px solid var(--mark);
  border-radius: 0.5rem; padding: 0.5rem 0.65rem; min-width: 0; overflow-wrap: anywhere}
.flow .node .name {font-weight: 600; display: flex; justify-content: space-between; gap: 0.4rem}
.flow .node .big {font-size: 1.25rem; line-height: 1.5}
.flow .node .mark {color: var(--mark); font-weight: 700}
.flow .ok {--mark: var(--ok)} .flow .warning {--mark: var(--warning)} .flow .error {--mark: var(--error)}
.flow .open {--mark: currentColor}
.flow .arrow {align-self: center; font-size: 1.1rem; text-align: center}
.flow .tall {grid-row: 2 / span var(--streams)}
.flow.light {--ok: #02795f; --warning: #9c5500; --error: #c0271d}
.flow.dark {--ok: #2fbf95; --warning: #e5a702; --error: #ff7a6e}
.flow .only-narrow {display: none}
@media (max-width: 820px) {
  .flow {grid-template-columns: 1fr}
  .flow > * {grid-column: auto !important; grid-row: auto !important}
  .flow .head {display: none}
  .flow .arrow {transform: rotate(90deg); line-height: 1}
  /* The next lane is below, but this one does not lead to it. */
  .flow .arrow.between {visibility: hidden}
  .flow .only-narrow {display: inline; font-weight: 400}
}
</style>
"""


def flow(state: State, found: Sequence[Problem], now: datetime, sales_built_at: datetime | None, theme: str) -> str:
    """Return the diagram's HTML. All text from sources and settings is escaped."""
    parts = [
        _head(name, column) for column, name in enumerate(("Sources", "Stages", "Raw tables", "Models", "Dashboard"))
    ]
    for row, stream in enumerate(state.report.streams, start=2):
        parts += _lane(stream, state, found, now, row)
        parts.append(_arrow(6, row, kind="" if stream is state.report.streams[-1] else "between"))
    parts += _models(state, found, now)
    parts += _dashboard(state, found, now, sales_built_at)
    style = f"--streams: {max(1, len(state.report.streams))}"
    attributes = f'class="flow {theme}" style="{style}" role="group" aria-label="Pipeline flow"'
    return f"{_STYLE}<div {attributes}>{''.join(parts)}</div>"


def _head(name: str, column: int) -> str:
    return f'<div class="head" style="grid-column: {2 * column + 1}; grid-row: 1">{name}</div>'


def _lane(stream: StreamState, state: State, found: Sequence[Problem], now: datetime, row: int) -> list[str]:
    """Return the nodes of one stream, from its source to its raw table."""
    reading = [problem for problem in found if problem.kind not in _ELSEWHERE]
    severity = _worst(problem for problem in reading if stream.stream in problem.streams)
    waiting = stream.windows_waiting
    load = state.tasks.get(f"load_{stream.stream}")
    read = [
        ("watermark", _ago(watermark_utc(stream), now)),
        ("horizon", _ago(stream.horizon, now)),
        ("reads by", stream.mode or "–"),
    ]
    staged = [("rows", f"{stream.rows_waiting:,}"), ("size", format.size(stream.bytes_waiting))]
    if stream.waiting_since:
        staged.append(("since", _ago(stream.waiting_since, now)))
    loaded = [("last load", _ago(stream.last_loaded_at, now))]
    if load:
        loaded.append(("took", _took(load.seconds)))
    loaded.append(("rejected", f"{stream.rows_rejected:,}"))
    files = f"{stream.files_waiting:,} file{'' if stream.files_waiting == 1 else 's'} waiting"
    return [
        _node(
            1,
            row,
            stream.stream,
            f"{stream.source} · {stream.source_table}",
            read,
            _worst(p for p in reading if stream.stream in p.streams or p.kind in _ALL_STREAMS),
            kind="source",
        ),
        _arrow(2, row),
        _node(3, row, stream.stage, files if waiting else "no files waiting", staged if waiting else [], severity),
        _arrow(4, row),
        _node(
            5,
            row,
            stream.raw_table,
            f"{format.short(stream.raw_rows)} rows",
            loaded,
            _raw_mark(stream, state, found),
        ),
    ]


def _models(state: State, found: Sequence[Problem], now: datetime) -> list[str]:
    build = state.tasks.get("build")
    failed = any(problem.kind == "test_failed" for problem in found)
    warned = any(problem.kind == "test_warned" for problem in found)
    severity = _task_mark(state, "build") or ("error" if failed else "warning" if warned else None)
    failures = sum(test.outcome != "warn" for test in state.report.tests)
    facts = [
        ("tables", f"{len(state.models):,}"),
        ("tests", f"{state.tests_run:,} run, {failures:,} failed, {len(state.report.tests) - failures:,} warned"),
        ("last build", f"{build.outcome}, {_ago(build.ended_at, now)}" if build else "never"),
    ]
    if build:
        facts.append(("took", _took(build.seconds)))
    rows = sum(model.rows for model in state.models)
    return [_node(7, 2, "dbt", f"{format.short(rows)} rows", facts, severity, tall=True), _arrow(8, 2, kind="tall")]


def _dashboard(state: State, found: Sequence[Problem], now: datetime, built_at: datetime | None) -> list[str]:
    publish = state.tasks.get("publish")
    facts = [("published", _ago(built_at, now))]
    if publish:
        facts += [("outcome", publish.outcome), ("took", _took(publish.seconds))]
    facts.append(("tasks ran", _ago(state.report.written_at, now)))
    missing = any(problem.kind == "tasks_overdue" for problem in found)
    rows = sum(model.rows for model in state.models if model.shown)
    severity = "error" if missing else _task_mark(state, "publish")
    return [_node(9, 2, "published copy", f"{format.short(rows)} rows", facts, severity, tall=True)]


def _node(
    column: int,
    row: int,
    name: str,
    big: str,
    facts: Iterable[tuple[str, str]],
    severity: Mark,
    *,
    tall: bool = False,
    kind: str = "",
) -> str:
    place = f"grid-column: {column}" + ("" if tall else f"; grid-row: {row}")
    lines = "".join(f"<div>{markup(label)} <b>{markup(value)}</b></div>" for label, value in facts)
    title = f'<div class="{"" if kind == "source" else "big"}">{breakable(big)}</div>'
    mark = f'<span class="mark" role="img" aria-label="{_LABELS[severity]}">{_MARKS[severity]}</span>'
    return (
        f'<div class="node {_LABELS[severity]}{" tall" if tall else ""}" style="{place}">'
        f'<div class="name"><span>{breakable(name)}</span>{mark}</div>{title}{lines}</div>'
    )


def _arrow(column: int, row: int, *, kind: str = "") -> str:
    place = f"grid-column: {column}" + ("" if kind == "tall" else f"; grid-row: {row}")
    return f'<div class="arrow {kind}" style="{place}" aria-hidden="true">→</div>'


def _worst(found: Iterable[Problem]) -> Severity | None:
    marks = {problem.severity for problem in found}
    return "error" if "error" in marks else "warning" if marks else None


def _task_mark(state: State, name: str) -> Mark:
    """Return the mark of the task's last run. A run is skipped only after another task failed."""
    task = state.tasks.get(name)
    marks: dict[str, Mark] = {"failed": "error", "skipped": "warning", "succeeded": None}
    return marks.get(task.outcome, "open") if task else "open"


def _raw_mark(stream: StreamState, state: State, found: Sequence[Problem]) -> Mark:
    """Return the mark of the raw table. Rejected rows are missing in it, for as long as they are rejected."""
    load = _task_mark(state, f"load_{stream.stream}")
    if load in ("error", "warning"):
        return load
    if any(problem.kind == "rows_rejected" and stream.stream in problem.streams for problem in found):
        return "warning"
    has_rejects = any(each.stream == stream.stream for each in state.rejected) or stream.rows_rejected
    return "open" if has_rejects else load


def _ago(moment: datetime | None, now: datetime) -> str:
    return f"{long_age(now - moment)} ago" if moment else "never"


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s"
