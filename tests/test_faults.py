"""Crash points are armed by the variable, end the process at the right place, and are documented."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adventure.core.errors import ConfigError
from adventure.core.faults import Point, _parse, reached

GUARANTEES = (Path(__file__).parent.parent / "docs" / "guarantees.md").read_text(encoding="utf-8")

_REACH = """
from adventure.core.faults import Point, reached
for stream in ("orders", "chat_logs", "orders", "chat_logs"):
    print(stream, flush=True)
    reached(Point.FILE_STAGED, stream)
    reached(Point.WINDOW_STAGED, stream)
"""


@pytest.mark.parametrize(
    ("armed", "printed"),
    [
        ("file-staged", ["orders"]),
        ("file-staged:chat_logs", ["orders", "chat_logs"]),
        ("file-staged:orders:2", ["orders", "chat_logs", "orders"]),
        ("window-staged::4", ["orders", "chat_logs", "orders", "chat_logs"]),
    ],
)
def test_the_armed_point_ends_the_process(armed: str, printed: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _REACH],
        env=os.environ | {"ADVENTURE_CRASH_AT": armed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    assert run.stdout.split() == printed
    assert run.stderr == f"ADVENTURE_CRASH_AT: ended at {armed.split(':')[0]} of {printed[-1]}\n"


def test_an_unarmed_point_is_passed() -> None:
    for point in Point:
        reached(point, "orders")


@pytest.mark.parametrize("text", ["nowhere", "file-staged:orders:0", "file-staged:orders:x"])
def test_an_unknown_crash_point_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="The points are extracting, files-finished"):
        _parse(text)


def test_the_documented_crash_points_match_the_code() -> None:
    table = GUARANTEES[GUARANTEES.index("## Crash points") :]
    rows = re.findall(r"^\| `(.+)` \| (.+) \| (.+) \|$", table[: table.index("\n## ", 1)], re.MULTILINE)
    assert rows == [(point.label, point.of or "-", point.afterwards) for point in Point]
