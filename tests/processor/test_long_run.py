"""Memory and open files do not grow, however many cycles one process runs.

`make long-run` runs 2,000 cycles; a few hundred, as here, show a leak in every cycle.
"""

import os
import time
from typing import Any

import psutil
import pymongo
import pytest

from adventure.core.clock import utc_now
from adventure.core.settings import Settings
from adventure.core.streams import Stream, find_stream
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline
from adventure.sources.postgres.horizon import MARGIN
from tests.processor.conftest import writer

CYCLES = int(os.environ.get("LONG_RUN_CYCLES", "240"))
GROWTH = 16 << 20
"""Bytes that the allocator may keep more after the second half than after the first: 2,000 cycles show a leak of 16 kB
a cycle, 240 one of 140 kB."""


@pytest.fixture
def chats(streams: tuple[Stream, ...], writer_settings: Settings) -> Stream:
    stream = find_stream(streams, "chat_logs")
    with pymongo.MongoClient[dict[str, Any]](writer_settings.mongo_conninfo) as client:
        client[stream.namespace][stream.table].create_index(stream.cursor)
    return stream


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_and_open_files_do_not_grow(
    settings: Settings, writer_settings: Settings, things: Stream, chats: Stream
) -> None:
    process = psutil.Process()
    figures: list[tuple[int, int, int]] = []
    rows = 0
    warehouse = DuckDBWarehouse(settings)
    with (
        writer(writer_settings) as connection,
        pymongo.MongoClient[dict[str, Any]](writer_settings.mongo_conninfo) as client,
        open_pipeline(settings, [things, chats]) as pipeline,
    ):
        collection = client[chats.namespace][chats.table]
        for cycle in range(1, CYCLES + 1):
            connection.execute("insert into things (id, note) values (%s, %s)", [cycle, "x" * 100])
            collection.insert_one({"_id": cycle, "text": "x" * 100, chats.cursor: utc_now()})
            report = run_cycle(pipeline)
            assert report.failures == {}
            rows += sum(each.rows_staged for each in report.streams)
            if cycle % max(1, CYCLES // 8) == 0:
                for stream in (things, chats):
                    warehouse.load(stream)
                    warehouse.cleanup(stream)
                figures.append((process.memory_info().rss, process.num_fds(), process.num_threads()))
        # The last rows are read once the horizon is past them.
        time.sleep(2 * MARGIN.total_seconds())
        rows += sum(each.rows_staged for each in run_cycle(pipeline).streams)
    for number, (memory, files, threads) in enumerate(figures, 1):
        print(f"after {number}/8: {memory / 1e6:.0f} MB, {files} open files, {threads} threads")
    assert rows == 2 * CYCLES, "what was written was staged, once"
    half = figures[3]
    assert figures[-1][1] <= half[1], "open files"
    assert figures[-1][2] <= half[2], "threads"
    assert figures[-1][0] - half[0] < GROWTH, "memory"
