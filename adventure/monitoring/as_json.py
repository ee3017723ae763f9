"""The output of the commands as JSON. docs/json.md describes each key.

Keys are only ever added: a change of a key's name or meaning needs a new `schema` number.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from adventure.core.clock import when

if TYPE_CHECKING:
    from adventure.core.stage import StageEntry
    from adventure.destinations.results import TaskRun
    from adventure.monitoring.checks import Check
    from adventure.monitoring.health.problem import Problem
    from adventure.monitoring.health.state import TaskState
    from adventure.monitoring.pipeline_status import PipelineStatus, StreamStatus

SCHEMA = 1
"""The number in each object."""

Json = dict[str, Any]


def write(found: Mapping[str, Any]) -> None:
    """Print one object, indented, on stdout."""
    typer.echo(json.dumps({"schema": SCHEMA, **found}, indent=2, ensure_ascii=False))


def status(found: "PipelineStatus") -> Json:
    """Return the object of `adventure status --json`."""
    processor, used = found.processor, found.credits
    return {
        "at": when(found.at),
        "streams": [_stream(each) for each in found.streams],
        "processor": {
            "seen_at": when(processor.seen_at),
            "stuck_at": when(processor.stuck_at),
            "has_ended": processor.has_ended,
        }
        if processor
        else None,
        "tasks": [task_run(run) for run in found.tasks],
        "credits": {"used": used.used, "budget": used.budget, "quota": used.quota} if used else None,
        "problems": [_problem(each, found.problems) for each in found.problems],
        "not_read": list(found.not_read),
    }


def checks(found: "Sequence[Check]") -> Json:
    """Return the object of `adventure check --json`."""
    return {
        "failed": sum(each.failed for each in found),
        "checks": [
            {
                "name": each.name,
                "period": each.period or None,
                "expected": each.expected,
                "found": each.actual,
                "holds": each.holds,
            }
            for each in found
        ],
    }


def stage_files(found: "Iterable[tuple[str, StageEntry]]") -> Json:
    """Return the object of `adventure stage list --json` from each stream's name and staged files."""
    return {
        "files": [
            {"stream": stream, "path": entry.path, "bytes": entry.bytes, "modified_at": when(entry.modified)}
            for stream, entry in found
        ]
    }


def task_run(run: "TaskRun | TaskState") -> Json:
    """Return one run of a task."""
    return {
        "task": run.task,
        "outcome": run.outcome,
        "started_at": when(run.started_at),
        "ended_at": when(run.ended_at),
        "rows": run.rows,
        "files": run.files,
        "message": run.message,
    }


def _problem(problem: "Problem", among: "Sequence[Problem]") -> Json:
    return {
        "kind": problem.kind,
        "severity": problem.severity,
        "streams": list(problem.streams),
        "problem": problem.sentence,
        "fix": problem.remedy,
        "cause": among.index(problem.cause) if problem.cause else None,
    }


def _stream(found: "StreamStatus") -> Json:
    return {
        "stream": found.name,
        "watermark": when(found.watermark),
        "mode": found.mode,
        "windows_staged": found.staged,
        "windows_waiting": found.waiting,
        "rows_loaded": found.rows,
        "rows_rejected": found.rejected,
        "rows_deleted": found.deleted,
        "last_loaded_at": when(found.last_loaded_at),
    }
