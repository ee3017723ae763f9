"""The object that `adventure reconcile --json` prints; docs/json.md describes each key."""

from collections.abc import Sequence
from typing import Any

from adventure.core.spans import moment
from adventure.reconcile.lateness import Lateness
from adventure.reconcile.repair import RepairResult
from adventure.reconcile.result import VERDICTS, Result
from adventure.reconcile.run import Report

Json = dict[str, Any]


def reports(found: Sequence[Report]) -> Json:
    """Return the object of `adventure reconcile --json`."""
    return {"is_clean": all(each.is_clean for each in found), "streams": [_report(each) for each in found]}


def _report(report: Report) -> Json:
    result = report.result
    failure = report.failure
    return {
        "stream": report.stream.name,
        "is_clean": report.is_clean,
        # In the stream's zone, as its cursor is; the same holds for the cursors below.
        "watermark": report.watermark.isoformat() if report.watermark else None,
        "from": moment(result.span.low).isoformat() if result and result.span else None,
        "to": moment(result.span.high).isoformat() if result and result.span else None,
        "rows": result.rows if result else None,
        "differences": _differences(result) if result else [],
        "rejected": result.count("rejected") if result else None,
        "in_flight": result.count("in flight") if result else None,
        "lateness": _lateness(report.lateness) if report.lateness else None,
        "repair": _repair(report.repaired) if report.repaired else None,
        "failure": {"problem": failure.problem, "fix": failure.remedy} if failure else None,
    }


def _differences(result: Result) -> list[Json]:
    return [
        {
            "kind": kind,
            "rows": result.count(kind),
            "examples": [
                {
                    "key": example.key,
                    "source": example.source.isoformat() if example.source else None,
                    "warehouse": example.held.isoformat() if example.held else None,
                }
                for example in result.verdicts[kind].examples
            ],
        }
        for kind in VERDICTS
        if result.count(kind)
    ]


def _lateness(late: Lateness) -> Json:
    return {"rows": late.rows, "suggested_lookback_sec": late.lookback.total_seconds(), "beyond_lookback": late.beyond}


def _repair(repaired: RepairResult) -> Json:
    return {
        "rows": repaired.rows,
        "rejected": repaired.rejected,
        "deleted": repaired.deleted,
        "withheld": repaired.withheld,
    }
