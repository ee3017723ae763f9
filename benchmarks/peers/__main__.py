"""Compare Adventure with dlt, sling, ingestr, rivet-cli and pandas: the same tables, server and run.

Each tool copies orders and their lines completely, and then the rows of a few batches, each time in a new process. The
figures are seconds and the peak memory of its processes. At the end its whole copy is compared with the source, value
by value. Each tool has its own environment with the versions pinned beside this file; Adventure has that of the
processor's image. A tool that cannot be installed, or fails, is listed with the reason.

    make bench-peers, or python -m benchmarks.peers [--orders 250000] [--batches 3] [--readme README.md]
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import psycopg

from benchmarks.machine import machine
from benchmarks.peers.contender import BEGIN, Contender, Failed, prepare_contender
from benchmarks.peers.exactness import PROBES, Source
from benchmarks.peers.tools import TOOLS, Tool
from benchmarks.results import Results, add_argument, write_between_markers
from benchmarks.sales_source import LINES_AN_ORDER, Sales, sales_source

BATCH = 5_000
"""Orders per batch."""
MARKERS = ("<!-- peers: written by `make bench-peers` -->", "<!-- end of peers -->")


def run_all(tools: Sequence[Tool], orders: int, batches: int, environments: Path, folder: Path) -> list[Contender]:
    """Run all tools in turn: the first load, and then each batch."""
    contenders = [prepare_contender(tool, environments, folder) for tool in tools]
    with sales_source(orders) as sales:
        with psycopg.connect(sales.server.dsn()) as connection:
            connection.execute(PROBES.encode())
        sales.settle()
        marks = [BEGIN]
        for number in range(batches + 1):
            if number:
                sales.add(orders + (number - 1) * BATCH, orders + number * BATCH)
            for contender in contenders:
                if not contender.failure:
                    _run_tool(contender, sales, number, marks[-1])
            marks.append(_newest(sales))
        source = Source.read(sales.server.dsn(), folder)
        for contender in contenders:
            if not contender.failure:
                contender.faults = source.faults(contender.tool, contender.folder)
                print(f"{contender.tool.name}: {', '.join(contender.faults) or 'all values are the same'}", flush=True)
    return contenders


def _run_tool(contender: Contender, sales: Sales, number: int, since: datetime) -> None:
    try:
        seconds = contender.copy(sales, since)
    except Failed as failed:
        contender.failure = str(failed)
        print(f"{contender.tool.name}: {failed}", flush=True)
        return
    if number:
        contender.increments.append(seconds)
    else:
        contender.first = seconds
    what = f"batch {number}" if number else "first load"
    print(f"{contender.tool.name}: {what} {seconds:.2f} s, {contender.memory_mb:,.0f} MB", flush=True)


def _newest(sales: Sales) -> datetime:
    with psycopg.connect(sales.server.dsn()) as connection:
        found = connection.execute("select max(last_modified) from order_details").fetchone()
    assert found is not None
    return found[0]  # type: ignore[no-any-return]


def table(contenders: Sequence[Contender], orders: int) -> str:
    """Return the table for the README."""
    lines = [
        f"{orders:,} orders and {orders * LINES_AN_ORDER:,} lines, then batches of {BATCH:,} and"
        f" {BATCH * LINES_AN_ORDER:,}; every run a process of its own. {machine()}.",
        "",
        "| tool | version | first load | a batch | peak memory | values exact |",
        "|---|---|---|---|---|---|",
    ]
    for each in contenders:
        name = each.tool.name + (f" ({each.tool.note})" if each.tool.note else "")
        if each.failure:
            reason = each.failure.replace("|", r"\|")
            lines.append(f"| {name} | {each.tool.version} | skipped: {reason} | | | |")
            continue
        exact = "no: " + ", ".join(each.faults) if each.faults else "yes"
        batch = f"{statistics.median(each.increments):.2f} s" if each.increments else ""
        figures = f"{each.first:.1f} s | {batch} | {each.memory_mb:,.0f} MB"
        lines.append(f"| {name} | {each.tool.version} | {figures} | {exact} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--orders", type=int, default=250_000, help="each has four lines")
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path(".adventure/peers"),
        help="folder for the tools' environments, reused by the next run",
    )
    parser.add_argument("--only", nargs="*", help="names of the tools to run")
    parser.add_argument("--readme", type=Path, help="file to write the table into, between its markers")
    add_argument(parser)
    options = parser.parse_args()
    tools = [tool for tool in TOOLS if not options.only or tool.name in options.only]
    options.environments.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        contenders = run_all(tools, options.orders, options.batches, options.environments.resolve(), Path(folder))
    results = Results("peers")
    for each in contenders:
        if not each.failure:
            results.add(f"{each.tool.name}: first load", [each.first])
            if each.increments:
                results.add(f"{each.tool.name}: a batch", each.increments)
            results.add(f"{each.tool.name}: peak memory", [each.memory_mb], "MB")
    results.write(options.json)
    text = table(contenders, options.orders)
    print(text)
    if options.readme:
        write_between_markers(options.readme, MARKERS, text)


if __name__ == "__main__":
    main()
