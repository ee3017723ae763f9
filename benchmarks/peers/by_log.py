"""Compare the log mode of Adventure with that of rivet-cli: the same changes, a slot for each.

Each round changes a narrow table in transactions of a thousand changes, half of them inserts and half updates. It
also deletes some rows, changes a key, and writes awkward values. Then each tool runs once, in alternating order, and
once more after 100 changes. Adventure is measured as a processor that keeps running, too; rivet-cli has nothing like it
for PostgreSQL: `rivet cdc --stream` also ends when it has read the whole log. After the last round the newest version
of each row is compared with the table, value by value. At the end a row with a long text is changed beside the text,
which PostgreSQL's log then does not hold.

rivet-cli needs the server's plugin `test_decoding`, which the embedded server does not have. Where Debian's PostgreSQL
is installed, both tools read from that.

    make bench-peers-log, or python -m benchmarks.peers.by_log [--changes 100000] [--rounds 5] [--postgres FOLDER]
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import psycopg
from pydantic import SecretStr

from benchmarks import by_log
from benchmarks.items import CREATE, INSERT, change
from benchmarks.machine import machine
from benchmarks.peers.contender import BEGIN, Contender, Failed, prepare_contender
from benchmarks.peers.exactness import Source
from benchmarks.peers.log_tools import ADVENTURE, RIVET, TYPES, server_with_test_decoding
from benchmarks.peers.tools import Tool
from benchmarks.results import Results, add_argument, write_between_markers
from benchmarks.sales_source import Sales, sales_source

FEW = 100
"""Changes of a small batch."""
MARKERS = ("<!-- peers by log: written by `make bench-peers-log` -->", "<!-- end of peers by log -->")
LONG_TEXT = "(select string_agg(md5(part::text), '') from generate_series(1, 600) as part)"
"""SQL for a text that cannot be compressed, so that the server keeps it outside of the row."""
AWKWARD = (
    ("", "123456789012345678.123456"),
    ('"NULL",\\N', "0.000000000012345"),
    ("naïve 🚲\n two lines ", "-0.000000000000000001"),
    (None, "0.1"),
    ("null", "0"),
    ("it's [text]:'x'", None),
    ("unchanged-toast-datum", "1.50"),
)
"""Valid names and weights that some tools change or lose."""


@dataclass
class Entry:
    """A tool in the run, with its figures."""

    contender: Contender
    run: Callable[[], float]
    """Reads what is new, and returns the seconds; raises Failed."""
    many: list[float] = field(default_factory=list)
    few: list[float] = field(default_factory=list)
    long_text: str = ""
    """What became of a change beside a long text."""


def run_all(
    changes: int, rounds: int, binaries: Path | None, environments: Path, folder: Path, tools: Sequence[Tool]
) -> tuple[list[Entry], str]:
    """Run all tools in each round; return them, and the server's version.

    Args:
        binaries: the programs of the PostgreSQL to read from; None for the embedded one.
        folder: an empty folder for the copies.
    """
    with sales_source(0, binaries) as sales, ExitStack() as stack:
        with psycopg.connect(sales.server.dsn(), autocommit=True) as connection:
            connection.execute(CREATE)
            connection.execute("alter table items add weight numeric")
            connection.execute(INSERT, [1, changes])
            (version,) = connection.execute("show server_version").fetchone() or ("",)
        entries = [_keep_running(sales, folder, stack)]
        for tool in tools:
            contender = prepare_contender(tool, environments, folder)
            entries.append(Entry(contender, partial(contender.copy, sales, BEGIN)))
            _run(entries[-1], [])  # The first rows.
        for number in range(rounds):
            change(sales, number, changes)
            _change_few(sales, number)
            order = entries[number % len(entries) :] + entries[: number % len(entries)]
            for entry in order:
                _run(entry, entry.many)
            _change_few(sales, number)
            for entry in order:
                _run(entry, entry.few)
            print(f"round {number + 1}: load average {os.getloadavg()[0]:.1f}", flush=True)
        _compare(sales, entries, folder)
        _change_beside_a_long_text(sales, entries, folder)
    return entries, version.split()[0]


def _keep_running(sales: Sales, folder: Path, stack: ExitStack) -> Entry:
    """Start a processor that stays; its state has a database of its own, and so it has a slot of its own."""
    tool = replace(ADVENTURE, name="Adventure, a process that keeps running", pins=None)
    contender = Contender(tool, Path(sys.prefix), folder / "kept")
    with psycopg.connect(sales.server.dsn(), autocommit=True) as connection:
        connection.execute("create database kept")
    state = {"state_dsn": SecretStr(sales.server.dsn("kept")), "data_dir": contender.folder / "data"}
    stream = replace(by_log.STREAMS["log"], stage="items_stage", types=TYPES)
    pipe = stack.enter_context(by_log.processor(sales.settings.model_copy(update=state), stream))

    def run() -> float:
        pipe.send("cycle")
        seconds = float(pipe.recv()[0])
        pipe.send("memory")
        contender.memory_mb = float(pipe.recv())
        return seconds

    return Entry(contender, run)


def _run(entry: Entry, into: list[float]) -> None:
    if entry.contender.failure:
        return
    try:
        into.append(entry.run())
    except Failed as failed:
        entry.contender.failure = str(failed)
        print(f"{entry.contender.tool.name}: {failed}", flush=True)


def _change_few(sales: Sales, number: int) -> None:
    """Change rows: give some of them awkward values, and one another key."""
    with psycopg.connect(sales.server.dsn()) as connection:
        connection.execute("update items set price = price + 1 where id between 1 and %s", [FEW])
        connection.cursor().executemany(
            "update items set name = %s, weight = %s where id = %s",
            [(name, weight, key) for key, (name, weight) in enumerate(AWKWARD, 1)],
        )
        connection.execute("update items set id = -id where id = %s", [FEW - number])


def _compare(sales: Sales, entries: Sequence[Entry], folder: Path) -> None:
    source = Source.read(sales.server.dsn(), folder, ("items",))
    for contender in (entry.contender for entry in entries if not entry.contender.failure):
        contender.faults = source.faults(contender.tool, contender.folder)
        print(f"{contender.tool.name}: {', '.join(contender.faults) or 'all values are the same'}", flush=True)


def _change_beside_a_long_text(sales: Sales, entries: Sequence[Entry], folder: Path) -> None:
    for statement in (f"name = {LONG_TEXT}", "price = price + 1"):
        with psycopg.connect(sales.server.dsn()) as connection:
            connection.execute(f"update items set {statement} where id = 1".encode())
        for entry in [entry for entry in entries if not entry.contender.failure and not entry.long_text]:
            try:
                entry.run()
            except Failed as failed:
                entry.long_text = f"stops ({str(failed).partition(':')[0]})"
                print(f"{entry.contender.tool.name}, beside a long text: {failed}", flush=True)
    source = Source.read(sales.server.dsn(), folder, ("items",))
    for entry in entries:
        if not entry.contender.failure and not entry.long_text:
            faults = source.faults(entry.contender.tool, entry.contender.folder)
            entry.long_text = ", ".join(faults) or "read"


def table(entries: Sequence[Entry], changes: int, server: str) -> str:
    """Return the table for the README."""
    lines = [
        f"{changes:,} changes of a narrow table, half of them inserts, and then {FEW}, from PostgreSQL {server}."
        f" Medians of {len(entries[0].many)} rounds. {machine()}.",
        "",
        f"| tool | version | {changes:,} changes | changes a second | {FEW} changes | peak memory | values exact"
        " | a change beside a long text |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for entry in entries:
        each = entry.contender
        if each.failure:
            reason = each.failure.replace("|", r"\|")
            lines.append(f"| {each.tool.name} | {each.tool.version} | skipped: {reason} | | | | | |")
            continue
        many, few = statistics.median(entry.many), statistics.median(entry.few)
        exact = "no: " + ", ".join(each.faults) if each.faults else "yes"
        lines.append(
            f"| {each.tool.name} | {each.tool.version} | {many:.2f} s | {changes / many:,.0f} | {few:.2f} s"
            f" | {each.memory_mb:,.0f} MB | {exact} | {entry.long_text} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=100_000, help="in each round, half of them inserts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--postgres", type=Path, default=server_with_test_decoding(), help="folder with a PostgreSQL's programs"
    )
    parser.add_argument("--environments", type=Path, default=Path(".adventure/peers"), help="the tools' environments")
    parser.add_argument("--readme", type=Path, help="file to write the table into, between its markers")
    add_argument(parser)
    options = parser.parse_args()
    options.environments.mkdir(parents=True, exist_ok=True)
    environments, tools = options.environments.resolve(), (ADVENTURE, RIVET)
    with tempfile.TemporaryDirectory() as folder:
        entries, server = run_all(options.changes, options.rounds, options.postgres, environments, Path(folder), tools)
    results = Results("peers.by_log")
    for entry in entries:
        if not entry.contender.failure:
            name = entry.contender.tool.name
            results.add(f"{name}: {options.changes:,} changes", entry.many)
            results.add(f"{name}: {FEW} changes", entry.few)
            results.add(f"{name}: peak memory", [entry.contender.memory_mb], "MB")
    results.write(options.json)
    text = table(entries, options.changes, server)
    print(text)
    if options.readme:
        write_between_markers(options.readme, MARKERS, text)


if __name__ == "__main__":
    main()
