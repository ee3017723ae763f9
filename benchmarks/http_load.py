"""Measure staging the records of an HTTP API against reading the same pages with httpx alone.

The server is a process of its own and sends pages that are prepared in memory. Each record has about 400 bytes.

    make bench-http, or python -m benchmarks.http_load [--records 100000] [--rounds 3]
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import uvicorn

from adventure.core.api import Api
from adventure.core.settings import Settings, load_settings
from adventure.core.streams import Stream
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import create_databases
from adventure.demo.sandbox.process import free_port
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline
from benchmarks.results import Results, add_argument

GOAL = 1.5
_A_PAGE = 1000
_BEGIN = datetime(2026, 1, 1)
_WORDS = (
    "a",
    "bike",
    "that",
    "rides",
    "well",
    "and",
    "fits",
    "whole",
    "family",
    "saddle",
    "is",
    "hard",
    "für",
    "größere",
    "Fahrer",
)

STREAM = Stream(
    name="reviews",
    source="http",
    namespace="v1",
    table="reviews",
    cursor="updated_at",
    key=("review_id",),
    stage="reviews_stage",
    raw_table="raw_ext.reviews_raw",
    lookback=timedelta(minutes=1),
    api=Api(records="items", pages="next", next="next", since="since"),
)


def make_pages(records: int) -> list[bytes]:
    """Return the bodies of all pages."""
    rng, pages = random.Random(8), []
    for first in range(0, records, _A_PAGE):
        items = []
        for number in range(first, min(records, first + _A_PAGE)):
            at = (_BEGIN + timedelta(seconds=number)).isoformat() + "Z"
            items.append(
                {
                    "review_id": number,
                    "product_id": rng.randint(707, 999),
                    "customer_id": rng.randint(11_000, 29_000),
                    "rating": rng.randint(1, 5),
                    "title": " ".join(rng.choices(_WORDS, k=4)),
                    "text": " ".join(rng.choices(_WORDS, k=40)),
                    "verified": rng.random() < 0.8,
                    "created_at": at,
                    "updated_at": at,
                }
            )
        following = f"?page={len(pages) + 1}" if first + _A_PAGE < records else None
        pages.append(orjson.dumps({"items": items, "next": following}))
    return pages


def serve(port: int, records: int) -> None:
    """Serve the pages until the process is ended."""
    pages = make_pages(records)

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        asked = re.search(rb"page=(\d+)", scope["query_string"])
        body = pages[int(asked[1]) if asked else 0]
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    uvicorn.run(answer, port=port, log_level="critical", lifespan="off")


def read_alone(url: str) -> float:
    """Return the seconds in which httpx reads all pages and finds the next one (the yardstick)."""
    with httpx.Client() as client:
        begun = time.perf_counter()
        following: httpx.URL | None = httpx.URL(f"{url}/v1/reviews")
        while following is not None:
            body = client.get(following).content
            # Found as cheaply as can be: the yardstick does not parse the records.
            found = re.search(rb'"next":"([^"]+)"', body[-100:])
            following = following.join(found[1].decode()) if found else None
        return time.perf_counter() - begun


def stage(settings: Settings, expected: int) -> float:
    """Return the seconds of a cycle that stages all records as a first window."""
    with open_pipeline(settings, [STREAM]) as pipeline:
        begun = time.perf_counter()
        report = run_cycle(pipeline)
        seconds = time.perf_counter() - begun
    assert [each.rows_staged for each in report.streams] == [expected], report
    return seconds


def run(folder: Path, records: int, rounds: int) -> Results:
    """Run all rounds against one server."""
    results, alone, staged = Results("http_load"), [], []
    port = free_port(0)
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "benchmarks.http_load", "--serve", str(port), "--records", str(records)]
    server = subprocess.Popen(command)
    try:
        with Sandbox(folder / "servers") as sandbox:
            _await_answer(url)
            for number in range(rounds):
                environment = create_databases(sandbox, f"round_{number}").reader_env
                names = {name.lower(): value for name, value in environment.items()}
                settings = load_settings(**names, api_url=url, data_dir=folder / f"round_{number}")
                alone.append(read_alone(url))
                staged.append(stage(settings, records))
    finally:
        server.terminate()
        server.wait()
    results.add(f"{records:,} records from the API to a staged window", staged, yardstick=alone, goal=GOAL)
    return results


def _await_answer(url: str) -> None:
    for _ in range(600):
        try:
            httpx.get(url)
        except httpx.ConnectError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{url} does not answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    add_argument(parser)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.records)
        return
    with tempfile.TemporaryDirectory() as folder:
        results = run(Path(folder), options.records, options.rounds)
    results.write(options.json)


if __name__ == "__main__":
    main()
