"""The memory of a cycle is bounded by the largest answer, not by how many answers there are.

Each cycle is a process of its own.
"""

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.http.api import Api, Fault

pytestmark = pytest.mark.slow

MB = 1 << 20

CYCLE = """
import sys
from adventure.core.errors import SourceError
from adventure.core.environment import load_settings
from benchmarks.machine import peak_memory_mb
from tests.http.conftest import reading, styled

url, folder, answer_mb = sys.argv[1:]
try:
    with reading(load_settings(api_url=url, data_dir=folder)) as reader:
        rows = reader.cycle(styled("number", answer_mb=int(answer_mb))).rows_staged
except SourceError as error:
    rows = str(error)
print(round(peak_memory_mb()), rows)
"""

Measure = Callable[..., tuple[int, str]]


@pytest.fixture
def cycle(api: Api, tmp_path: Path) -> Measure:
    """Return a function that runs a cycle in a process; it returns the peak memory in MB and the staged rows."""
    folders = iter(range(100))

    def run(pages: Fault, answer_mb: int = 64) -> tuple[int, str]:
        api.always = pages
        done = subprocess.run(
            [sys.executable, "-c", CYCLE, api.url, str(tmp_path / str(next(folders))), str(answer_mb)],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        peak, _, rows = done.stdout.splitlines()[-1].partition(" ")
        return int(peak), rows

    return run


def page(number: int, records: int) -> bytes:
    """Return a page of records of 1,000 bytes, older than the lookback as soon as the next page is read."""
    text, at = "x" * 900, f"2026-01-{1 + number // 24:02d}T{number % 24:02d}:00:00Z"
    items = (f'{{"id":"{number}-{each}","meta":{{"changed":"{at}"}},"text":"{text}"}}' for each in range(records))
    return f'{{"data":{{"items":[{",".join(items)}]}}}}'.encode()


def counted(pages: int, records: int) -> Fault:
    """Return that many pages, and an empty one after them."""
    bodies = [page(number, records) for number in range(pages)]

    def answer(request: Request) -> Response:
        number = int(request.query_params["page"]) - 1
        body = bodies[number] if number < pages else b'{"data":{"items":[]}}'
        return Response(body, media_type="application/json")

    return answer


def test_five_times_as_many_pages_take_no_more_memory(cycle: Measure) -> None:
    """Twenty-four pages are enough that as many are read ahead as ever are; fewer depend on how fast each side is."""
    few, rows = cycle(counted(24, 1000))
    assert rows == "24000"
    many, rows = cycle(counted(120, 1000))
    assert rows == "120000"
    # 96 MB more were read. What is remembered of each record, so that a second pass writes none twice, is its hash.
    assert many - few < 96 / 3


def test_an_answer_takes_a_multiple_of_its_size(cycle: Measure) -> None:
    """Up to three pages are in memory at once, each as records and lines, and lines that are compressed."""
    small, _ = cycle(counted(1, 1))
    large, rows = cycle(counted(4, 16_000))
    assert rows == "64000"
    assert large - small < 32 * 16


def test_an_answer_above_the_limit_is_not_held(cycle: Measure) -> None:
    """A small body that grows a thousandfold is read up to the limit."""
    small, _ = cycle(counted(1, 1))
    bomb = zlib.compress(b" " * (400 * MB), 9)
    large, rows = cycle(
        lambda _: Response(bomb, headers={"content-encoding": "deflate"}, media_type="application/json"), answer_mb=4
    )
    assert "more than 4 MB" in rows
    assert large - small < 100
