"""Measure staging the records of an HTTP API against reading the same pages with httpx alone.

There are two APIs, each a process of its own: one sends pages that are prepared in memory, with about 400 bytes a
record; the other is the sandbox's shop (`adventure api`), which reads each page from PostgreSQL.

    make bench-http, or python -m benchmarks.http_load [--records 100000] [--rounds 3]
"""

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import psycopg
import uvicorn

from adventure.core.api import Api
from adventure.core.environment import load_settings
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.schema import TABLES
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
    namespace="/",
    table="reviews",
    cursor="updated_at",
    key=("review_id",),
    stage="reviews_stage",
    raw_table="raw_ext.reviews_raw",
    lookback=timedelta(minutes=1),
    api=Api(records="items", pages="next", next="next", since="since"),
)
SHOP = replace(
    STREAM,
    key=("id",),
    api=Api(records="reviews", pages="next", next="next", since="since", size="limit", page_size=_A_PAGE),
)
_FILL_SHOP = """
insert into reviews_api.reviews
select gen_random_uuid(), 707 + i %% 292, 11000 + i %% 18000, null, 1 + i %% 5, 'Rides well, fits the whole family',
    repeat('a bike that rides well, and größere Fahrer fit on it ', 4), i %% 5 > 0, i %% 9, 'published',
    timestamp '2026-01-01' + i * interval '1 second', null, timestamp '2026-01-01' + i * interval '1 second'
from generate_series(1, %s) as i
"""


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


def read_alone(first: str) -> float:
    """Return the seconds in which httpx reads all pages and finds the next one (the yardstick)."""
    with httpx.Client() as client:
        begun = time.perf_counter()
        following: httpx.URL | None = httpx.URL(first)
        while following is not None:
            body = client.get(following).content
            # Found as cheaply as can be: the yardstick does not parse the records.
            found = re.search(rb'"next":"([^"]+)"', body[-300:])
            following = following.join(found[1].decode()) if found else None
        return time.perf_counter() - begun


def stage(settings: Settings, stream: Stream, expected: int) -> float:
    """Return the seconds of a cycle that stages all records as a first window."""
    with open_pipeline(settings, [stream]) as pipeline:
        begun = time.perf_counter()
        report = run_cycle(pipeline)
        seconds = time.perf_counter() - begun
    assert [each.rows_staged for each in report.streams] == [expected], report
    return seconds


def run(folder: Path, records: int, rounds: int) -> Results:
    """Run all rounds against both APIs, by turns with the yardstick."""
    results = Results("http_load")
    with Sandbox(folder / "servers") as sandbox:
        with _serving(_in_memory(records), "/v1/reviews") as url:
            measured = _measure(sandbox, folder / "memory", url, STREAM, f"{url}/reviews", records, rounds)
            results.add(f"{records:,} records in memory", measured[1], yardstick=measured[0], goal=GOAL)
        with _serving(_shop(sandbox, records), "/v1/reviews?limit=1") as url:
            first = f"{url}/reviews?limit={_A_PAGE}"
            measured = _measure(sandbox, folder / "shop", url, SHOP, first, records, rounds)
            results.add(f"{records:,} records of the shop's API", measured[1], yardstick=measured[0], goal=GOAL)
    return results


def _measure(
    sandbox: Sandbox, folder: Path, url: str, stream: Stream, first: str, records: int, rounds: int
) -> tuple[list[float], list[float]]:
    """Return the seconds of the yardstick and those of staging; each round has a state and a stage of its own."""
    alone, staged = [], []
    for number in range(rounds):
        environment = create_databases(sandbox, f"{folder.name}_{number}").reader_env
        names = {name.lower(): value for name, value in environment.items()}
        settings = load_settings(**names, api_url=url, data_dir=folder / str(number))
        begun = time.process_time()
        alone.append(read_alone(first))
        between = time.process_time()
        staged.append(stage(settings, stream, records))
        # The CPU time tells more than the clock where other work keeps the machine busy.
        print(
            f"load average {os.getloadavg()[0]:.2f}: alone {alone[-1]:.3f} s ({between - begun:.3f} s of CPU),"
            f" staged {staged[-1]:.3f} s ({time.process_time() - between:.3f} s of CPU)",
            flush=True,
        )
    return alone, staged


def _in_memory(records: int) -> tuple[int, list[str], dict[str, str]]:
    """Return port, arguments and environment of the server whose pages are in memory."""
    port = free_port(0)
    return port, ["benchmarks.http_load", "--serve", str(port), "--records", str(records)], {}


def _shop(sandbox: Sandbox, records: int) -> tuple[int, list[str], dict[str, str]]:
    """Return port, arguments and environment of the shop's API, after filling its table."""
    port, environment = free_port(0), create_databases(sandbox, "shop").writer_env
    dsn = sandbox.postgres.dsn("shop")
    with psycopg.connect(dsn) as connection:
        connection.execute(TABLES.encode())
        connection.execute(_FILL_SHOP, [records])
        connection.execute("grant usage on schema reviews_api to sales_app")
        connection.execute("grant select on all tables in schema reviews_api to sales_app")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("vacuum analyze reviews_api.reviews")
    return port, ["adventure", "api"], environment | {"SHOP_API_PORT": str(port)}


@contextmanager
def _serving(server: tuple[int, list[str], dict[str, str]], path: str) -> Iterator[str]:
    """Run a server until the block ends; yield the API's address."""
    port, arguments, environment = server
    process = subprocess.Popen([sys.executable, "-m", *arguments], env=os.environ | environment)
    try:
        _await_answer(f"http://127.0.0.1:{port}{path}")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


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
