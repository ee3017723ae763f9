"""Measure the cost of exact NDJSON: staging a collection's documents against reading and discarding them.

It measures two figures, each against a yardstick in the same run:

- from the server: a first window, from the snapshot to the advanced watermark, against reading and discarding the same
  raw batches. The server is the sandbox's, which is slower than MongoDB. It runs without change streams, since it reads
  its whole log to open one, which MongoDB does not;
- from memory: the same batches, already fetched, into a compressed file, against decoding them and writing each
  document as JSON without checking for losses. With a faster server, this is the limit.

    make bench-mongo, or python -m benchmarks.mongo_load [--documents 100000] [--rounds 3]
"""

import argparse
import gc
import itertools
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import orjson
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS
from pymongo.read_concern import ReadConcern

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.chats import advance_chat, open_chat
from adventure.demo.generator.orders import Sale
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import create_databases
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.mongo.connect import connect_mongo
from adventure.sources.mongo.documents import DocumentWriter
from benchmarks.results import Results, add_argument

GOAL = 1.5
_A_BATCH = 1000
_BEGIN = datetime(2026, 1, 1)


def chats(count: int) -> Iterator[dict[str, Any]]:
    """Yield chats as the generator writes them; most have an answer."""
    rng = random.Random(8)
    for number in range(count):
        now = _BEGIN + timedelta(seconds=number)
        order_id = f"{rng.getrandbits(128):032x}"
        sale = Sale(
            order_id, f"SO{number}", now - timedelta(days=1), 11_000 + number % 18_000, 707 + number % 290, "", (), True
        )
        chat = open_chat(rng, sale, now)
        yield chat | advance_chat(chat, now) if rng.random() < 0.8 else chat


def fill(settings: Settings, count: int) -> None:
    """Write the documents into the collection, with an index on the cursor."""
    with connect_mongo(settings.mongo_conninfo, name="the benchmark's server") as client:
        collection = client[settings.mongo_db][settings.mongo_collection]
        collection.create_index("last_modified")
        made = chats(count)
        while batch := list(itertools.islice(made, _A_BATCH)):
            collection.insert_many(batch)


def read_raw(settings: Settings) -> tuple[float, list[bytes]]:
    """Return the seconds to fetch all documents (the yardstick), and their batches."""
    with connect_mongo(settings.mongo_conninfo, name="the benchmark's server") as client:
        majority = ReadConcern("majority")
        collection = client[settings.mongo_db].get_collection(settings.mongo_collection, read_concern=majority)
        begun = time.perf_counter()
        batches: list[Any] = list(collection.find_raw_batches(batch_size=_A_BATCH))
        return time.perf_counter() - begun, batches


def stage(settings: Settings, stream: Stream, expected: int) -> float:
    """Return the seconds of a cycle that stages all documents as a first window."""
    with open_pipeline(settings, [stream]) as pipeline:
        begun = time.perf_counter()
        report = run_cycle(pipeline)
        seconds = time.perf_counter() - begun
    assert [each.rows_staged for each in report.streams] == [expected], report
    return seconds


def write_exactly(batches: Sequence[bytes], stream: Stream, folder: Path) -> float:
    """Return the seconds from batches in memory to a finished file."""
    gc.collect()
    begun = time.perf_counter()
    writer = DocumentWriter(stream, datetime(2100, 1, 1), Deduplicator(), folder)
    for batch in batches:
        for document in bson.decode_all(batch, DEFAULT_RAW_BSON_OPTIONS):
            writer.write(document)  # type: ignore[arg-type]
    writer.documents.close()
    return time.perf_counter() - begun


def write_plainly(batches: Sequence[bytes]) -> float:
    """Return the seconds to decode batches and write them as JSON into memory, without checks."""
    gc.collect()
    gc.disable()
    try:
        begun = time.perf_counter()
        for batch in batches:
            b"\n".join([orjson.dumps(document, default=str) for document in bson.decode_all(batch)])
        return time.perf_counter() - begun
    finally:
        gc.enable()


def run(folder: Path, documents: int, rounds: int) -> Results:
    """Run all rounds on a separate server."""
    results = Results("mongo_load")
    staged, raw, exact, plain = [], [], [], []
    servers = Sandbox(folder / "servers")
    servers.mongo.options = ("--standalone",)
    with servers as sandbox:
        for number in range(rounds):
            # Each round has its own watermarks and stage; the documents are the same.
            environment = create_databases(sandbox, f"round_{number}").reader_env
            names = {name.lower(): value for name, value in environment.items()}
            settings = load_settings(**names, data_dir=folder / f"round_{number}")
            stream = next(each for each in load_streams(settings) if each.source == "mongo")
            if number == 0:
                fill(settings, documents)
            seconds, batches = read_raw(settings)
            raw.append(seconds)
            staged.append(stage(settings, stream, documents))
            plain.append(documents / write_plainly(batches))
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                exact.append(documents / write_exactly(batches, stream, Path(scratch)))
    results.add(f"{documents:,} documents from the server to a staged window", staged, yardstick=raw, goal=GOAL)
    results.add("from memory to a file", exact, "documents/s", yardstick=plain)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    add_argument(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = run(Path(folder), options.documents, options.rounds)
    results.write(options.json)


if __name__ == "__main__":
    main()
