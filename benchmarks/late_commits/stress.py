"""Run a scenario from its first write to the full count."""

import threading
import time
from collections.abc import Sequence
from datetime import datetime

from benchmarks.late_commits.scenarios import Figures, Load, Scenario
from benchmarks.late_commits.system import System, Versions


def stress(system: System, scenario: Scenario, load: Load) -> Figures:
    """Run a scenario to its end and count the rows."""
    begun, stop = time.monotonic(), threading.Event()
    processors = [system.processor(scenario, number) for number in range(load.processors)]
    plain = system.plain()
    pollers = [threading.Thread(target=each.run, args=[stop, system.drained_at]) for each in processors]
    pollers.append(threading.Thread(target=plain.run, args=[stop]))
    for poller in pollers:
        poller.start()
    try:
        written = system.write(scenario, load, stop)
    finally:
        stop.set()
        for poller in pollers:
            poller.join()
    for each in processors:
        if each.failure:
            raise each.failure
    truth = system.truth()
    worst = [_compare(truth, each.staged, each.latest) for each in processors]
    detected = [0 if scenario.lossless else each.detected() for each in processors]
    return Figures(
        scenario.name,
        written=written,
        missing=max(missing for missing, _, _ in worst),
        stale=max(stale for _, stale, _ in worst),
        doubled=max(doubled for _, _, doubled in worst),
        orphans=max(each.orphans for each in processors),
        read=max(each.rows_read for each in processors) / written,
        staged=max(each.rows_staged for each in processors) / written,
        cycles=min(each.cycles for each in processors),
        detected=max(detected),
        undetected=0 if scenario.lossless else max(each[0] - seen for each, seen in zip(worst, detected, strict=True)),
        plain_missing=_compare(truth, plain.staged)[0],
        seconds=time.monotonic() - begun,
    )


def _compare(
    truth: Sequence[Versions],
    staged: Sequence[dict[int, set[int]]],
    latest: Sequence[dict[int, tuple[datetime, int]]] = (),
) -> tuple[int, int, int]:
    """Return the numbers of missing, stale and duplicate rows over all tables."""
    missing = sum(
        version not in found.get(key, ())
        for true, found in zip(truth, staged, strict=True)
        for key, version in true.items()
    )
    stale = sum(
        kept[key][1] != version and version in found.get(key, ())
        for true, found, kept in zip(truth, staged, latest)  # noqa: B905 - the yardstick does not record the latest version
        for key, version in true.items()
        if key in kept
    )
    doubled = sum(len(found.keys() - true.keys()) for true, found in zip(truth, staged, strict=True))
    return missing, stale, doubled
