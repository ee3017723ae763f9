"""docs/four-tasks.md: run its commands in order, and compare what they print with what the page shows.

Numbers, times and names of windows may differ from the page; the words may not. On the page, `…` stands for lines that
are left out. With WRITE_PAGE=1, the page gets what the commands printed, with the same lines left out.
"""

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adventure.cli import app
from adventure.core.settings import Settings
from tests.snowflake.account import environment

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "four-tasks.md"
LARGE_BATCH = 5000

_PROGRESS = re.compile(r"models and tests done after|rows read$")
"""Lines that a command prints only if it takes long."""
_VALUES = re.compile(
    r"(?<=query: )\S*(?=adventure/destinations/)|(?<=support_)\w+"
    r"|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
    r"|\b[0-9a-f]{32}\b|\b\d{8}T\d+Z-[0-9a-f]{8}\b|\b\w{3}, \d+ \w{3} \d{4} [\d:]+ GMT"
    r"|\b\d[\d,.:]*(?: k?B\b)?(?<![,.:])"
)
"""Where the project is, the name of the database, keys, checksums, windows, times, sizes and numbers."""


def steps() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the page with the lines that it prints."""
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = step.partition("\n")
            yield command, printed.splitlines()


def plain(lines: list[str]) -> list[str]:
    """Return the lines without values, without the space between columns, and without rules and empty lines."""
    words = (re.sub(r"[─\s]+", " ", _VALUES.sub("#", line)).strip() for line in lines if not _PROGRESS.search(line))
    return [line for line in words if line]


def pattern(lines: list[str]) -> str:
    """Return a pattern of the lines, in which `…` matches any number of lines."""
    return "".join(r"(?:.*\n)*" if line == "…" else re.escape(line) + r"\n" for line in lines)


def shortened(output: list[str], shown: list[str]) -> list[str]:
    """Return the lines of `output` that stand for those that the page shows."""
    found: list[str] = []
    at = 0
    for is_left_out, part in itertools.groupby(shown, "…".__eq__):
        if is_left_out:
            found += part
            continue
        begun: int | None = None
        for line in part:
            # A table's rules may have another width.
            while plain([output[at]]) != plain([line]):
                at += 1
            begun, at = at if begun is None else begun, at + 1
        found += output[begun:at]
    return found


def execute(command: str, reader: Settings, writer: Settings) -> str:
    """Run a command of the page, and return what it prints. `adventure` runs in this process, which is faster."""
    inner = re.sub(
        r"\$\((.*?)\)", lambda found: subprocess.check_output(found[1], shell=True, text=True).strip(), command
    )
    variables, found, arguments = inner.rpartition("adventure ")
    if not found or not re.fullmatch(r"(\w+=\S+ )*", variables):
        interpreter = command.replace("python ", f"{sys.executable} ", 1)
        return subprocess.check_output(interpreter, shell=True, text=True, stderr=subprocess.STDOUT)
    settings = writer if arguments.startswith("generate") else reader
    given = {
        **environment(settings),
        "PROCESSOR_INTERVAL_SEC": "0",
        "DATA_DIR": ".adventure",
        "PIPELINE_FILE": "pipeline.toml",
    }
    given |= dict(pair.split("=") for pair in variables.split())
    done = CliRunner().invoke(app, arguments.split(), env=given)
    failure = done.exception if done.exception and not isinstance(done.exception, SystemExit) else ""
    return done.output + (f"{failure}\n" if failure else "")


@pytest.mark.timeout(1800)
def test_the_commands_print_what_the_page_shows(
    settings: Settings, writer_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    shutil.copy(ROOT / "pipeline.toml", tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("COLUMNS", "160")
    printed: list[tuple[str, str]] = []
    for command, expected in steps():
        output = execute(command, settings, writer_settings)
        printed.append((command, output))
        found = "".join(f"{line}\n" for line in plain(output.splitlines()))
        assert re.fullmatch(pattern(plain(expected)), found), f"{command} printed:\n{output}"
    if os.environ.get("WRITE_PAGE"):
        page = PAGE.read_text(encoding="utf-8")
        for (command, expected), (_, output) in zip(steps(), printed, strict=True):
            told = output.replace(f"{ROOT}/", "").replace(f"{settings.mongo_db}.", "support_logs.")
            kept = [line.rstrip() for line in told.splitlines() if not _PROGRESS.search(line)]
            lines = shortened(kept, expected)
            old, new = ("".join(f"{line}\n" for line in [f"$ {command}", *each]) for each in (expected, lines))
            page = page.replace(old, new, 1)
        PAGE.write_text(page, encoding="utf-8")
    text = "".join(output for _, output in printed)
    assert re.findall(r" orders: (\d+) new rows since", text)[:3] == ["210"] * 3
    countries = [output for command, output in printed if command.startswith("python")]
    before, after = (sum(map(int, re.findall(r"│ +(\d+) │", output))) for output in countries)
    assert after - before == LARGE_BATCH
