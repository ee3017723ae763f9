"""A chaos run: servers, load, processor and task server; some minutes of kills; then a comparison of everything."""

import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.schema import create_tables
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import create_databases
from adventure.factory import open_warehouse
from tests.chaos.keeper import STREAM, Keeper, create_stock
from tests.chaos.load import Agent, Seller, Writer
from tests.chaos.victims import ROOT, Command, Strike, Victim, schedule
from tests.comparison import (
    Comparison,
    compare_dashboard,
    compare_latest,
    compare_model,
    compare_raw,
    count_rows_staged_twice,
    leftover_files,
)

SELLERS, AGENTS = 4, 2


@dataclass
class Report:
    """What a run did, and whether all data arrived."""

    kills: Counter[str] = field(default_factory=Counter)
    pauses: dict[str, list[float]] = field(default_factory=dict)
    """The seconds of each pause, by victim."""
    ended_by_themselves: list[str] = field(default_factory=list)
    writes: int = 0
    broken: int = 0
    lost_by_servers: list[str] = field(default_factory=list)
    changes: dict[str, int] = field(default_factory=dict)
    """Changes of the table that is read by the log, by kind."""
    windows: int = 0
    builds: int = 0
    again: dict[str, int] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Return True if nothing was lost, duplicated, invented or left behind."""
        return all(each.holds for each in self.comparisons) and not (self.left or self.errors)

    def lines(self) -> list[str]:
        """Return the report as text."""
        kills = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        pauses = ", ".join(
            f"{name} {len(each)} of at most {max(each):.0f} s" for name, each in sorted(self.pauses.items())
        )
        lines = [
            f"kills survived      {self.kills.total()} ({kills})",
            f"pauses              {pauses or 'none'}",
            f"ended by themselves {len(self.ended_by_themselves)}",
            *(f"    {line}" for line in self.ended_by_themselves),
            f"writes              {self.writes:,} acknowledged, {self.broken:,} connections broken by kills",
            f"lost by servers     {len(self.lost_by_servers)} acknowledged versions",
            "read by the log     " + ", ".join(f"{name} {count:,}" for name, count in self.changes.items()),
            f"meanwhile           {self.windows:,} windows loaded, {self.builds} builds finished",
            "",
            f"{'station':42}{'rows compared':>14}{'lost':>8}{'doubled':>9}{'extra':>7}",
        ]
        for each in self.comparisons:
            lost, doubled, extra = len(each.lost), len(each.doubled), len(each.extra)
            lines.append(f"{each.station:42}{each.rows:14,}{lost:8}{doubled:9}{extra:7}")
        rows = sum(each.rows for each in self.comparisons)
        lost = sum(len(each.lost) for each in self.comparisons)
        doubled = sum(len(each.doubled) for each in self.comparisons)
        lines += [
            "",
            f"rows compared {rows:,}, lost {lost}, doubled {doubled}, files left {len(self.left)}",
            "read again    " + ", ".join(f"{name} {count:,}" for name, count in self.again.items()),
            *self.errors,
        ]
        return lines


def run(folder: Path, *, minutes: float, seed: int) -> Report:
    """Kill for that long, then let everything converge and compare.

    Args:
        folder: an empty folder; servers, logs and the pipeline's data stay there.
    """
    report, stop = Report(), threading.Event()
    with Sandbox(folder / "servers") as sandbox:
        databases = create_databases(sandbox)
        environment = databases.reader_env | {
            "DATA_DIR": str(folder / "adventure"),
            "PIPELINE_FILE": str(folder / "pipeline.toml"),
            "DBT_DIR": str(ROOT / "dbt"),
            "PROCESSOR_INTERVAL_SEC": "0.3",
        }
        shipped = (ROOT / "pipeline.toml").read_text(encoding="utf-8")
        (folder / "pipeline.toml").write_text(shipped + STREAM, encoding="utf-8")
        settings, writing = _settings(environment), _settings(environment | databases.writer_env)
        streams = load_streams(settings)
        create_tables(writing)
        create_stock(writing)
        with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
            connection.execute("alter role adventure_reader replication")
        keeper = Keeper(writing, stop, seed, 0)
        writers: list[Writer] = [Seller(writing, stop, seed, number) for number in range(SELLERS)]
        writers += [*(Agent(writing, stop, seed, number) for number in range(AGENTS)), keeper]
        commands = {
            "processor": Command(["process"], environment, folder / "processor.log"),
            "task server": Command(["tasks", "serve", "--every", "1s"], environment, folder / "tasks.log"),
        }
        victims: dict[str, Victim] = {**commands, "PostgreSQL": sandbox.postgres, "MongoDB": sandbox.mongo}
        try:
            for writer in writers:
                writer.start()
            for command in commands.values():
                command.start()
            _strike(victims, commands, schedule(seed, minutes * 60), report)
        finally:
            stop.set()
            for writer in writers:
                writer.join()
            for command in commands.values():
                command.stop()
        keeper.settle()
        report.changes = keeper.done
        _converge(environment, report)
        _compare(settings, streams, writers, report)
    report.ended_by_themselves = [
        f"{name}: {line}" for name, command in commands.items() for line in command.ended_by_itself
    ]
    return report


def _strike(victims: dict[str, Victim], commands: dict[str, Command], strikes: object, report: Report) -> None:
    """Kill and pause on schedule, and restart victims or let them go on. A victim that is already down is skipped."""
    begun = time.monotonic()
    down: dict[str, float] = {}
    paused: set[str] = set()

    def until(moment: float) -> None:
        while True:
            now = time.monotonic() - begun
            for name in [name for name, since in down.items() if since <= now]:
                del down[name]
                if name in paused:
                    paused.remove(name)
                    commands[name].go_on()
                else:
                    victims[name].start()
            for name, command in commands.items():
                if name not in down:
                    command.restart_if_exited()
            if now >= moment:
                return
            time.sleep(0.05)

    for strike in strikes:  # type: ignore[attr-defined]
        assert isinstance(strike, Strike)
        until(strike.at)
        if strike.victim in down:
            continue
        if strike.is_pause:
            commands[strike.victim].pause()
            paused.add(strike.victim)
            report.pauses.setdefault(strike.victim, []).append(strike.down)
        else:
            victims[strike.victim].kill()
            report.kills[strike.victim] += 1
        down[strike.victim] = time.monotonic() - begun + strike.down
    until(max(down.values(), default=0.0))


def _converge(environment: dict[str, str], report: Report) -> None:
    """Run each command once, without kills."""
    for arguments in (["process"], ["tasks", "run"]):
        done = subprocess.run(
            [sys.executable, "-m", "adventure", *arguments],
            cwd=ROOT,
            env=environment | {"PROCESSOR_INTERVAL_SEC": "0", "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            report.errors.append(f"adventure {' '.join(arguments)} failed: {done.stderr or done.stdout}")


def _compare(settings: Settings, streams: tuple[Stream, ...], writers: list[Writer], report: Report) -> None:
    for writer in writers:
        report.writes += writer.writes
        report.broken += writer.broken
        report.lost_by_servers += writer.lost()
        if writer.error:
            report.errors.append(f"{type(writer).__name__} failed: {writer.error!r}")
    warehouse = open_warehouse(settings)
    (report.windows,), *_ = warehouse.execute("select count(distinct window_id) from raw_ext.load_history")
    (report.builds,), *_ = warehouse.execute(
        "select count(*) from raw_ext.task_history where task = 'build' and outcome = 'succeeded'"
    )
    with_model = [stream for stream in streams if not stream.is_log]
    for compare in (compare_raw, compare_model):
        report.comparisons += [compare(settings, stream) for stream in with_model]
    report.comparisons += [compare_latest(settings, stream) for stream in streams if stream.is_log]
    report.comparisons.append(compare_dashboard(settings))
    report.again = {stream.name: count_rows_staged_twice(settings, stream) for stream in with_model}
    report.left = leftover_files(settings, streams)


def _settings(environment: dict[str, str]) -> Settings:
    return load_settings(**{name.lower(): value for name, value in environment.items()})
