"""Read the state that the rules judge, for `status`, the metrics and the alerts."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from adventure.core import failures, heartbeat
from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseBusy, WarehouseError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.results import Credits
from adventure.destinations.warehouse import Warehouse
from adventure.factory import open_report, open_stage, open_warehouse
from adventure.monitoring.health.observed import read_observed
from adventure.monitoring.health.published import report_of_rows
from adventure.monitoring.health.state import (
    Freshness,
    Limits,
    Lost,
    Observed,
    Report,
    State,
    StreamState,
    TaskState,
    TestState,
)
from adventure.monitoring.observe import fault_of, lost_windows, observe_sources, observe_stages, observed

RETRY_FOR_SEC = 0.3
"""Seconds to wait for the warehouse. A build holds DuckDB's file all the time; then the published state is read."""


@dataclass(frozen=True)
class Reading:
    """The state, and what is only shown."""

    state: State
    observed: Observed
    credits: Credits | None
    """None where nothing is metered, or the credits cannot be read."""
    not_read: tuple[str, ...]
    """One sentence for each part that could not be read, or is not as of now."""


def read_state(settings: Settings, streams: Sequence[Stream], warehouse: Warehouse | None = None) -> State:
    """Return the state of the pipeline as of now; see `read`."""
    return read(settings, streams, warehouse).state


def read(settings: Settings, streams: Sequence[Stream], warehouse: Warehouse | None = None) -> Reading:
    """Read the state of the pipeline. A part that cannot be read is a fault in it, and stops no other part.

    Args:
        warehouse: an open warehouse; else it is opened, unless another command has it.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        # Only opened meanwhile. Watermarks, then stages, then the ledger: windows move in this direction, so none is
        # missed.
        opened = pool.submit(lambda: warehouse or open_warehouse(settings, retry_for=RETRY_FOR_SEC))
        side, stage = observe_sources(settings, streams), open_stage(settings)
    staged = {stream.name: stage.windows(stream.stage) for stream in streams}
    seen = observe_stages(streams, side, stage, staged)
    not_read, fault, credits = [], None, None
    if side.fault:
        not_read.append(f"Watermarks are not shown: {side.fault.problem}. {side.fault.remedy}.")
    try:
        ready = opened.result()
        with ready.reading():
            report = _report(settings, streams, ready)
            lost = lost_windows(streams, side.marks, stage, staged, ready)
        credits, unread = _credits(ready)
        not_read += unread
    except WarehouseError as error:
        report, lost = _published(settings), _last_lost(settings)
        if isinstance(error, WarehouseBusy):
            as_of = f"as of {report.written_at:%H:%M:%S} UTC" if report.written_at else "not shown"
            not_read.append(f"Loads and tasks are {as_of}, because another command has the warehouse")
        else:
            fault = fault_of(error)
    found = observed(side, (replace(each, lost=lost.get(name)) for name, each in seen.items()), fault)
    state = State(
        # Take the time after the wait for the databases: ages are measured from it.
        now=utc_now(),
        report=report,
        processor=heartbeat.read(settings.processor_heartbeat),
        failures=failures.read(settings.processor_failures),
        observed=found,
        limits=_limits(settings),
    )
    return Reading(state, found, credits, tuple(not_read))


def read_sources(settings: Settings, streams: Sequence[Stream], before: Observed) -> State:
    """Read sources, watermarks and processor as of now. The warehouse and the stages stay as they were seen before.

    A warehouse that is metered is not woken.
    """
    side, last = observe_sources(settings, streams), {each.stream: each for each in before.streams}
    found = []
    for name, seen in side.streams.items():
        old = last.get(name, seen)
        found.append(replace(seen, staged=old.staged, mismatch=seen.mismatch or old.mismatch, lost=old.lost))
    return State(
        now=utc_now(),
        processor=heartbeat.read(settings.processor_heartbeat),
        failures=failures.read(settings.processor_failures),
        observed=observed(side, found, before.warehouse),
        limits=_limits(settings),
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        settings.tasks_interval_sec, settings.alert_waiting_sec, settings.alert_lag_sec, settings.alert_failures
    )


def _report(settings: Settings, streams: Sequence[Stream], warehouse: Warehouse) -> Report:
    """Return what the report would say now. When the tasks last ran is in the published report only."""
    written_at, interval_sec = _published_at(settings)
    return Report(
        written_at=written_at,
        interval_sec=interval_sec,
        streams=tuple(StreamState(**each) for each in warehouse.stream_states(open_stage(settings), streams)),
        tasks=tuple(TaskState(*row) for row in warehouse.task_states()),
        tests=tuple(TestState(*row) for row in warehouse.test_results()),
        freshness=tuple(Freshness(*row) for row in warehouse.freshness()),
    )


def _published(settings: Settings) -> Report:
    """Return the published report; an empty one if there is none that can be read."""
    dataset = open_report(settings)
    try:
        return report_of_rows(dataset.rows) if dataset.version() else Report()
    except WarehouseError:
        return Report()


def _published_at(settings: Settings) -> tuple[datetime | None, float | None]:
    """Return when the tasks last reported, and how often they run; None if there is no report that can be read."""
    dataset = open_report(settings)
    try:
        found = dataset.rows("select written_at, every_sec from report") if dataset.version() else []
    except WarehouseError:
        return None, None
    return found[0] if found else (None, None)


def _last_lost(settings: Settings) -> dict[str, Lost]:
    """Return the lost windows that the task server saw last."""
    last = read_observed(settings.observed_path)
    return {each.stream: each.lost for each in last.streams if each.lost} if last else {}


def _credits(warehouse: Warehouse) -> tuple[Credits | None, list[str]]:
    try:
        return warehouse.credits(), []
    except WarehouseError as error:
        return None, [f"Credits are not shown: {error}"]
