"""Run `adventure check` again and again while a writer, the processor, loads and builds work, and count its alarms.

make check-loop, or python -m tests.check_loop [--runs 200]
"""

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.run import backfill, generate
from adventure.demo.generator.schema import create_tables
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import create_databases
from adventure.monitoring.checks import run_checks
from adventure.processor.run import process_forever, process_once
from adventure.tasks.graph import run_loads, run_task

ROOT = Path(__file__).parent.parent
PAUSE_SEC = 1.0
BUILD_EVERY = 25
"""Loads between two builds: a build keeps the checks waiting."""


@dataclass
class Outcome:
    """What the checks said."""

    runs: int = 0
    alarmed: int = 0
    """Runs in which a check did not hold."""
    alarms: Counter[str] = field(default_factory=Counter)
    """Checks that did not hold, with what they expected and found."""
    in_flight: int = 0
    """Runs that saw rows in flight: else nothing was tested."""
    worked: Counter[str] = field(default_factory=Counter)
    """Rounds of each part of the pipeline during the checks."""


@contextmanager
def pipeline(sandbox: Sandbox, folder: Path) -> Iterator[tuple[Settings, Settings, tuple[Stream, ...]]]:
    """Create databases with some sales, and pass them through once."""
    databases = create_databases(sandbox, "sales_loop", mongo_db="support_loop")
    paths = {"data_dir": folder, "pipeline_file": ROOT / "pipeline.toml", "dbt_dir": ROOT / "dbt"}
    reader = load_settings(**{name.lower(): value for name, value in databases.reader_env.items()}, **paths)
    writer = load_settings(
        **{name.lower(): value for name, value in databases.writer_env.items()},
        **paths,
        generation_interval_sec=0.5,
        order_batch_size=20,
    )
    create_tables(writer)
    backfill(writer, orders=1000, days=20, seed=5)
    yield reader, writer, load_streams(reader)


def run(sandbox: Sandbox, folder: Path, runs: int, show: Callable[[str], None] = lambda _: None) -> Outcome:
    """Start everything, check so many times, and stop."""
    outcome, stop = Outcome(), threading.Event()
    with pipeline(sandbox, folder) as (reader, writer, streams), ExitStack() as stack:

        def write() -> None:
            generate(writer, seed=6, stop=stop)

        def process() -> None:
            process_forever(reader, streams, interval=2.0, max_runtime=0, stop=stop)

        def load() -> None:
            while not stop.is_set():
                outcome.worked["loads"] += 1
                if outcome.worked["loads"] % BUILD_EVERY == 0:
                    outcome.worked["builds"] += 1
                    run_task(reader, streams, "build")
                else:
                    run_loads(reader, streams)
                stop.wait(PAUSE_SEC)

        process_once_and_build(reader, streams)
        threads = [threading.Thread(target=work) for work in (write, process, load)]
        stack.callback(lambda: [thread.join(120) for thread in threads])
        stack.callback(stop.set)
        for thread in threads:
            thread.start()
        while outcome.runs < runs:
            checks = run_checks(reader, streams)
            outcome.runs += 1
            failed = [check for check in checks if check.failed]
            outcome.alarmed += bool(failed)
            outcome.in_flight += any("in flight" in check.expected for check in checks)
            for check in failed:
                outcome.alarms[check.label] += 1
                show(f"run {outcome.runs}: {check.label}: expected {check.expected}, found {check.actual}")
            if outcome.runs % 5 == 0:
                show(f"{outcome.runs} of {runs}: {outcome.alarmed} alarmed, {outcome.in_flight} saw rows in flight")
    return outcome


def process_once_and_build(reader: Settings, streams: tuple[Stream, ...]) -> None:
    """Pass the first rows through."""
    process_once(reader, streams)
    assert [each.message for each in run_task(reader, streams) if each.outcome == "failed"] == []


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder) / "servers", durable=False) as sandbox:
        outcome = run(sandbox, Path(folder) / "data", options.runs, lambda line: print(line, flush=True))
    print(
        f"{outcome.alarmed} of {outcome.runs} runs alarmed in {time.monotonic() - begun:.0f} s;"
        f" {outcome.in_flight} saw rows in flight; {outcome.worked['loads']} loads, {outcome.worked['builds']} builds"
    )
    raise SystemExit(1 if outcome.alarmed else 0)


if __name__ == "__main__":
    main()
