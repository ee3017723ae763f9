"""Examine a whole installation for `adventure doctor`: settings, databases, stage, warehouse, models and disk.

It only reads. Each finding that is not well comes with a fix.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from adventure.core.console import console, plain, table
from adventure.core.errors import AdventureError
from adventure.core.kinds import WAREHOUSES
from adventure.core.named_sources import source_variables
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.factory import open_probe, open_stage, open_warehouse
from adventure.processor.owner import origin_mismatch, owner_mismatch
from adventure.processor.state import read_watermarks
from adventure.sources.probe import Finding

_LITTLE_DISK = 1 << 30
_MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "error": "[red]✗[/]"}


def examine(settings: Settings, streams: Sequence[Stream], env_file: Path) -> list[Finding]:
    """Return all findings. A part that cannot be examined is a finding, too.

    Args:
        env_file: the file that settings were read from; it may not exist.
    """
    parts = [("settings", _settings(settings, env_file)), ("pipeline", _pipeline(settings, streams))]
    for name in dict.fromkeys(stream.source for stream in streams):
        parts.append((name, _source(settings, [stream for stream in streams if stream.source == name])))
    parts += [
        ("state", _state(settings, streams)),
        ("warehouse", _warehouse(settings, streams)),
        ("models", _models(settings)),
        ("disk", _disk(settings)),
    ]
    return [finding for part, findings in parts for finding in _caught(part, findings)]


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a table of all findings, with the fix below each that needs one."""
    made = table("Doctor", left=("", "part", "found"))
    for each in findings:
        fix = f"\n→ {plain(each.fix)}" if each.fix else ""
        made.add_row(_MARKS[each.level], plain(each.part), f"{plain(each.found)}{fix}")
    console().print(made)


def findings_object(findings: Sequence[Finding]) -> dict[str, object]:
    """Return the object of `adventure doctor --json`."""
    return {
        "errors": sum(each.level == "error" for each in findings),
        "warnings": sum(each.level == "warning" for each in findings),
        "findings": [
            {"level": each.level, "part": each.part, "found": each.found, "fix": each.fix} for each in findings
        ],
    }


def _caught(part: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except AdventureError as error:
        yield Finding("error", part, error.problem, error.remedy)


def _settings(settings: Settings, env_file: Path) -> Iterator[Finding]:
    if not env_file.is_file():
        yield Finding("ok", "settings", f"there is no {env_file}: settings come from the environment, or are defaults")
        return
    known = [*(name.upper() for name in Settings.model_fields), *source_variables(settings)]
    yield Finding("ok", "settings", f"read from {env_file} and the environment")
    for line in env_file.read_text(encoding="utf-8").splitlines():
        name = line.partition("=")[0].removeprefix("export ").strip()
        if "=" not in line or line.startswith("#") or name.upper() in known:
            continue
        if like := get_close_matches(name.upper(), known, n=1, cutoff=0.85):
            yield Finding(
                "warning", "settings", f"{env_file}: there is no setting {name}", f"Did you mean {like[0]}? Rename it"
            )


def _pipeline(settings: Settings, streams: Sequence[Stream]) -> Iterator[Finding]:
    yield Finding("ok", "pipeline", f"{settings.pipeline_file} lists {', '.join(stream.name for stream in streams)}")


def _source(settings: Settings, streams: Sequence[Stream]) -> Iterator[Finding]:
    with open_probe(streams[0].opens, settings, brief=True) as probe:
        yield from probe.examine(streams)
        marks = read_watermarks(settings, brief=True)
        for stream in streams:
            if mark := marks.get(stream.name):
                mismatch = origin_mismatch(mark, stream, probe.origin(stream))
                mismatch = mismatch or owner_mismatch(mark, stream, open_stage(settings).identity())
                if mismatch:
                    yield Finding("error", stream.name, mismatch.problem, mismatch.remedy)


def _state(settings: Settings, streams: Sequence[Stream]) -> Iterator[Finding]:
    marks = read_watermarks(settings, brief=True)
    found = sum(stream.name in marks for stream in streams)
    yield Finding("ok", "state", f"holds the watermarks of {found} of {len(streams)} streams")
    if settings.state_dsn is None:
        yield Finding("ok", "state", "is in the source database, because STATE_DSN is not set: the role writes there")


def _warehouse(settings: Settings, streams: Sequence[Stream]) -> Iterator[Finding]:
    folder = _existing(settings.data_dir)
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("error", "warehouse", f"{folder} is not writable", "Change its owner, or set DATA_DIR")
    if WAREHOUSES[settings.warehouse].publishes_file and not settings.duckdb_path.exists():
        yield Finding(
            "ok", "warehouse", f"{settings.duckdb_path} does not exist yet: the first run of the tasks makes it"
        )
        return
    stage, warehouse = open_stage(settings), open_warehouse(settings)
    runs = warehouse.last_runs()
    yield Finding("ok", "warehouse", f"{settings.warehouse} answers; {len(runs)} tasks have run")
    for stream in streams:
        for damaged in stage.damaged(stream.stage):
            yield Finding("error", stream.name, damaged.problem, damaged.remedy)


def _models(settings: Settings) -> Iterator[Finding]:
    project = settings.dbt_dir / "dbt_project.yml"
    if not project.is_file():
        yield Finding("error", "models", f"there is no {project}", "Set DBT_DIR to the folder of the dbt project")
    elif find_spec("dbt") is None:
        yield Finding("warning", "models", "dbt is not installed here", "Install it where `adventure build` runs")
    else:
        yield Finding("ok", "models", f"the dbt project is in {settings.dbt_dir}")


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = _existing(settings.data_dir)
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:,.1f} GB are free at {folder}"
    if free < _LITTLE_DISK:
        yield Finding("warning", "disk", found, "Free space there, or set DATA_DIR to another disk")
    else:
        yield Finding("ok", "disk", found)


def _existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
