"""The simulated world: it takes the steps of a schedule, and checks after each what must always hold."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

from adventure.core.errors import AdventureError, AlreadyRunning, StageDamaged, WatermarkMismatch
from adventure.core.manifest import MANIFEST, Window
from adventure.core.spans import micros
from adventure.core.zones import to_utc
from adventure.destinations.duckdb.stage import FolderStage
from adventure.monitoring import observe
from adventure.processor.cycle import run_cycle
from adventure.processor.reset import reset_stream
from adventure.processor.run import _open_sources, _reopen_failed, open_pipeline
from adventure.reconcile.repair import Repair
from tests.simulation.disk import File, Folder, SimulatedPath
from tests.simulation.patches import Current
from tests.simulation.process import EPOCH, Crash, Process
from tests.simulation.reconcile import SimulatedComparison
from tests.simulation.server import HIDDEN_AT_MOST_US, Server
from tests.simulation.source import STREAM, SimulatedSide, SimulatedSource
from tests.simulation.state import StateDatabase
from tests.simulation.warehouse import Database, SimulatedWarehouse

SUMMER_BEGINS, SUMMER_ENDS = datetime(2026, 3, 29, 0, 59, 50, 123457), datetime(2026, 10, 25, 0, 59, 50, 123457)
"""Moments (naive UTC) shortly before wall clocks in Europe skip an hour, and show one again."""

MINUTE_US = 60_000_000

Step = tuple[Any, ...]
"""The name of a method of `World` and its arguments."""


class Violation(AssertionError):
    """Something that must always hold does not. The text begins with its name in docs/guarantees.md."""


@dataclass(frozen=True)
class Config:
    """What stays the same during a schedule."""

    default: str = "now"
    precision: str = "us"
    rows_a_window: int = 1_000_000
    """In a first load."""
    file_by_file: bool = False
    """The warehouse commits each file by itself, as Snowflake does, instead of a window at once."""
    zone: str | None = None
    """Whose wall clock the cursor holds; None for UTC."""
    begins: datetime = EPOCH
    """When the schedule begins, naive UTC."""

    @property
    def guarantee(self) -> str:
        """The heading in docs/guarantees.md of what breaks when this world misses a row."""
        if self.zone:
            return "Cursors without a time zone"
        if self.precision in ("trunc", "day"):
            return "Coarse cursors"
        return "No committed row is missed"


@dataclass
class World:
    """Servers, disk, processes and clocks of one schedule."""

    config: Config
    true_us: int = 0
    tokens: int = 0
    staged: dict[str, Window] = field(default_factory=dict)
    """Every window that was ever seen in the stage."""
    versions: set[tuple[int, int]] = field(default_factory=set)
    """Key and value of every row that was ever seen in the stage."""
    restored: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    """The windows whose files something else changed."""
    not_durable: set[str] = field(default_factory=set)
    """The windows that a power cut may have removed, because their writer was stopped before it had synced them."""
    passed: set[str] = field(default_factory=set)
    """The windows that the watermark moved over."""
    lost_a_lock: bool = False
    """Whether a processor's session ended without its knowledge: two processors may have written at once."""
    was_unknown: bool = False
    """Whether the horizon was ever unknown."""
    refusals: list[AdventureError] = field(default_factory=list)
    """The errors since the last successful cycle, load and cleanup: what the operator would see."""
    backup: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Current.world = self
        self.root = Folder()
        # DATA_DIR is on disk before the schedule begins.
        self.root.entries["data"] = self.root.durable["data"] = Folder()
        self.state = StateDatabase()
        self.database = Database()
        self.true_us = (self.config.begins - EPOCH) // timedelta(microseconds=1)
        self.stream = replace(STREAM, timezone=self.config.zone)
        self.server = Server(lambda: self.true_us, self.config.default, self.config.precision, self.stream.zone)
        self.processors: list[Processor] = [Processor(self), Processor(self)]
        self.running: list[Process] = []

    # Steps

    def run(self, steps: Sequence[Step]) -> None:
        """Take steps."""
        for name, *arguments in steps:
            getattr(self, name)(*arguments)

    def tick(self, us: int) -> None:
        """Let time pass, but not hours while a transaction is open: with an unknown horizon, windows look back less."""
        if us > MINUTE_US and any(not session.is_idle for session in self.server.sessions):
            return
        self.server.settle(us)
        self.true_us += us

    def clock(self, us: int) -> None:
        """Set the server's clock forward or back; not back and forward again, which no cycle in between would see."""
        if us > 0 and self.server.stepped:
            return
        # Before the first window, nothing shows that a transaction, or a message with several, is open across a step.
        if us < 0 and not self.state.marks and any(not session.is_idle for session in self.server.sessions):
            return
        # The margin does not cover a session that is hidden while the clock jumps forward.
        self.server.settle(HIDDEN_AT_MOST_US + 1)
        self.server.offset_us += us
        self.server.stepped |= us < 0

    def begin(self, session: int, interactive: bool) -> None:
        self.server.begin(session, interactive=interactive)

    def write(self, session: int, key: int, what: str) -> None:
        self.server.write(session, key, what)

    def end(self, session: int, commit: bool) -> None:
        self.server.end(session, commit=commit)

    def finish(self, session: int) -> None:
        self.server.finish(session)

    def transaction(self, session: int, key: int, what: str) -> None:
        """Write one row in a transaction of its own, if the session is idle."""
        if self.server.sessions[session].is_idle:
            self.server.begin(session, interactive=False)
            self.server.write(session, key, what)
            self.server.end(session, commit=True)
            self.server.finish(session)

    def truncate(self) -> None:
        self.server.truncate()

    def unknown(self, is_unknown: bool) -> None:
        """Let the server hide its open transactions, or show them again."""
        self.server.unknown_reason = "a prepared transaction is open" if is_unknown else None
        self.was_unknown |= is_unknown

    def cycle(self, number: int, at: int, action: Any) -> None:
        """Let a processor start if it does not run, and run a cycle."""
        processor = self.processors[number]
        if not processor.process.busy:
            self._as(processor.process, at, action, processor.cycle)
            if not processor.process.alive:
                self.processors[number] = Processor(self)
        self._observe()

    def stop(self, number: int) -> None:
        """Kill a processor."""
        processor = self.processors[number]
        processor.process.die()
        if not processor.process.busy:
            self.processors[number] = Processor(self)

    def drop(self, number: int) -> None:
        """Let the state's server end the session of a processor, which does not know it yet."""
        self.state.disconnect(self.processors[number].process)
        self.lost_a_lock = True

    def load(self, at: int, action: Any) -> None:
        """Run the task that loads."""
        # Within a cycle, a window may be loaded and cleaned up before the cycle ends.
        self._observe_windows()
        process = Process(self)
        self._as(process, at, action, lambda: SimulatedWarehouse(self, process).load(self.stream))
        self._check_raw()

    def cleanup(self, at: int, action: Any) -> None:
        """Run the task that cleans up."""
        process = Process(self)
        self._as(process, at, action, lambda: SimulatedWarehouse(self, process).cleanup(self.stream))
        self._check_stage()

    def repair(self, at: int, action: Any, without: Sequence[str] = ()) -> None:
        """Run `adventure reconcile --repair`."""
        process = Process(self)
        self._as(process, at, action, lambda: self._repair(process, without))
        self._observe()

    def power(self) -> None:
        """Cut the power of the machine on which the pipeline runs."""
        self.cut_power()
        for number, processor in enumerate(self.processors):
            if not processor.process.busy:
                self.processors[number] = Processor(self)
        self._check_stage()

    def back_up(self) -> None:
        """Copy every part."""
        self.backup = {
            "stage": self._stage_folder().copy(),
            "state": self.state.copy(),
            "warehouse": self.database.copy(),
            "source": (dict(self.server.rows), self.server.lsn),
        }

    def restore(self, part: str) -> None:
        """Stop the pipeline, and put a part's copy in its place."""
        if part not in self.backup or self.running:
            return
        # Without a watermark, nothing shows of which source the staged windows are; see the limits of the promises.
        if {"state", "source"} <= self.restored | {part} and not self.backup["state"].marks:
            return
        for number in range(len(self.processors)):
            self.stop(number)
        self.restored.add(part)
        copy = self.backup[part]
        if part == "stage":
            data = self._data_folder()
            data.entries["stage"] = data.durable["stage"] = copy.copy()
        elif part == "state":
            self.state.marks, self.state.resets = dict(copy.marks), dict(copy.resets)
            self.state.begun = dict(copy.begun)
        elif part == "warehouse":
            self.database = copy.copy()
        else:
            rows, lsn = copy
            # A log that has grown past the old one again is not noticed; see the limits of the promises.
            self.server.rows, self.server.lsn = dict(rows), min(lsn, self.server.lsn) - 1000
            for session in range(len(self.server.sessions)):
                self.server.end(session, commit=False)
                self.server.finish(session)

    def damage(self, number: int, how: str) -> None:
        """Let another program change, empty or delete a file of a staged window."""
        files = [
            (folder, name, window_id)
            for window_id, folder in sorted(self._window_folders())
            for name in sorted(folder.entries)
            if name != MANIFEST and MANIFEST in folder.entries
        ]
        if not files:
            return
        folder, name, window_id = files[number % len(files)]
        self.damaged.add(window_id)
        if how == "delete":
            del folder.entries[name]
        else:
            folder.entries[name] = file = File()
            file.content = file.durable = b"" if how == "empty" else b"x" * 40

    # What must always hold

    def converge(self) -> None:
        """End all disturbances, let the pipeline run, follow its remedies, and compare every row."""
        for number in range(len(self.server.sessions)):
            self.server.end(number, commit=True)
            self.server.finish(number)
        self.server.unknown_reason = None
        for number in range(len(self.processors)):
            self.stop(number)
        # A row that was written before the clock was set back waits until the clock has passed its cursor, which a wall
        # clock shows twice when summer time ends.
        cursors = [row.cursor.replace(fold=fold) for row in self.server.rows.values() for fold in (0, 1)]
        ahead = max((to_utc(each, self.stream.zone) for each in cursors), default=EPOCH) - self.server.clock()
        self.tick(2_000_000 + max(0, ahead // timedelta(microseconds=1)))
        seen = self._settle()
        if seen and not self.refusals and not self._problems():
            raise Violation(f"{self.config.guarantee}: {seen}")
        if self.refusals or self._problems():
            self._follow_remedies()
            if seen := self._settle() or [str(error) for error in self.refusals] or self._problems():
                raise Violation(f"{self.config.guarantee}, after the remedies: {seen}")
        self._check_raw()
        self._check_stage()

    def _settle(self) -> list[str]:
        """Run the pipeline until nothing is left to do, and return the rows that the raw table lacks."""
        for _ in range(2):
            self.refusals = []
            self.cycle(0, 0, None)
            self.load(0, None)
            self.cleanup(0, None)
        return self._missing()

    def _missing(self) -> list[str]:
        held = {(row.key, row.value) for row in self.database.raw}
        overtaken = self.server.stepped or self.config.begins == SUMMER_ENDS or "source" in self.restored
        latest = {} if overtaken else self.database.latest()
        found = []
        for key, row in self.server.rows.items():
            if (key, row.value) not in held:
                found.append(f"row {key} with cursor {row.cursor} was committed and is not in the raw table")
            elif latest and latest[key].cursor < micros(row.cursor):
                found.append(f"row {key} is not in its latest version {row.cursor}")
        return found

    def _problems(self) -> list[str]:
        """Return what `adventure status --check` reports about windows."""
        stage, staged = self._folder_stage(Process(self)), {self.stream.name: self.staged_windows()}
        ledger: Any = _SimulatedLedger(self.database)
        return [
            lost.rows for lost in observe.lost_windows([self.stream], self.state.marks, stage, staged, ledger).values()
        ]

    def _follow_remedies(self) -> None:
        """Do what the messages say: repair without the damaged windows and remove them, or reset and repair."""
        refused = " ".join(str(error) for error in self.refusals if isinstance(error, StageDamaged))
        bad = [
            window.id
            for window in self.staged_windows()
            if not self.is_loaded(window) and (window.id in refused or not self.is_whole(window))
        ]
        self.damaged |= set(bad)
        if bad:
            self.repair(0, None, bad)
            for window_id in bad:
                self._folder_stage(Process(self)).discard(self.stream.stage, window_id)
        is_refused = any(isinstance(error, WatermarkMismatch) for error in self.refusals)
        if is_refused or self._problems():
            self.stop(0)
            process = Process(self)
            reset_stream(self.settings(process), self.stream, None)  # type: ignore[arg-type]
        self._settle()
        self.repair(0, None)

    def _observe(self) -> None:
        """Check the windows that are new in the stage, and the watermark."""
        self._observe_windows()
        mark = self.state.marks.get(self.stream.name)
        if mark and mark.window_id:
            self.passed.add(mark.window_id)
        if mark and mark.window_id and mark.window_id not in self.staged and "stage" not in self.restored:
            raise Violation(f"The watermark moves last: {mark.window_id} was never in the stage")

    def _observe_windows(self) -> None:
        """Note the windows that are new in the stage, and check them."""
        for window_id, folder in self._window_folders():
            if window_id not in self.staged and MANIFEST in folder.entries:
                window = Window.from_json(folder.entries[MANIFEST].content, window_id)  # type: ignore[union-attr]
                self.staged[window_id] = window
                if self.is_whole(window) or window_id in self.damaged:
                    continue
                if not self.lost_a_lock:
                    raise Violation(f"Files are complete or absent: {window_id} is in the stage without its files")
                # The one that lost its lock completes a window whose files its successor discarded, as unfinished. The
                # window is reported, its rows are in a window of the successor, and the remedies must lead to all rows.
                self.damaged.add(window_id)

    def _check_stage(self) -> None:
        """Check that each window is whole in the stage, or in the ledger."""
        if self.restored:
            return
        for window in self.staged.values():
            if window.id in self.damaged | (self.not_durable - self.passed):
                continue
            if not self.is_loaded(window) and not self.is_whole(window):
                raise Violation(f"Files are removed after the load: {window.id} is neither staged nor loaded")

    def _check_raw(self) -> None:
        """Check that each file's rows are in the raw table once, with the ledger's count."""
        raw, counts = self.database.raw, dict[str, int]()
        for row in raw:
            counts[row.file] = counts.get(row.file, 0) + 1
        ledger = {
            f"{entry.stage}/{window_id}/{file}": entry.rows for (window_id, file), entry in self.database.ledger.items()
        }
        if counts != ledger:
            differing = sorted(name for name in counts.keys() | ledger.keys() if counts.get(name) != ledger.get(name))
            raise Violation(f"Rows are loaded once: {differing[0]}: {counts} in the raw table, {ledger} in the ledger")

    # Parts

    def path(self, process: Process, text: str) -> SimulatedPath:
        """Return a path on the machine's disk, as a process sees it."""
        return SimulatedPath(self.root, process, *filter(None, text.split("/")))

    def settings(self, process: Process) -> Any:
        """Return the settings of a process."""
        return SimpleNamespace(
            process=process,
            stage=self._folder_stage(process),
            unfinished_dir=self.path(process, "/data/unfinished"),
        )

    def cut_power(self) -> None:
        """Kill what runs on the machine, and lose what its disk has not written."""
        for process in [*self.running, *(each.process for each in self.processors)]:
            process.die()
        self.not_durable |= {name for name, folder in self._window_folders() if MANIFEST not in folder.durable}
        self.tokens += 1
        self.root.cut_power(Random(self.tokens))

    def staged_windows(self) -> list[Window]:
        """Return the windows in the stage, oldest first."""
        return [
            self.staged[window_id]
            for window_id, folder in sorted(self._window_folders())
            if window_id in self.staged and MANIFEST in folder.entries
        ]

    def is_loaded(self, window: Window) -> bool:
        """Return whether the ledger holds every file of the window, with its rows."""
        ledger = self.database.ledger
        return all(
            (entry := ledger.get((window.id, file.name))) and entry.rows == file.rows for file in window.all_files
        )

    def is_whole(self, window: Window) -> bool:
        """Return whether the stage holds every file of the window, as it was staged."""
        return self.content(window, MANIFEST) is not None and all(
            hashlib.sha256(self.content(window, file.name) or b"").hexdigest() == file.sha256
            for file in window.all_files
        )

    def content(self, window: Window, name: str) -> bytes | None:
        """Return a staged file's content; None if there is no such file."""
        folder = self._stage_folder().entries.get(self.stream.stage)
        folder = folder.entries.get(window.id) if isinstance(folder, Folder) else None
        file = folder.entries.get(name) if isinstance(folder, Folder) else None
        return file.content if isinstance(file, File) else None

    def _window_folders(self) -> Iterator[tuple[str, Folder]]:
        folder = self._stage_folder().entries.get(self.stream.stage)
        if isinstance(folder, Folder):
            for name, found in folder.entries.items():
                if isinstance(found, Folder):
                    yield name, found

    def _stage_folder(self) -> Folder:
        found = self._data_folder().entries.get("stage", Folder())
        assert isinstance(found, Folder)
        return found

    def _data_folder(self) -> Folder:
        found = self.root.entries["data"]
        assert isinstance(found, Folder)
        return found

    def _folder_stage(self, process: Process) -> FolderStage:
        return FolderStage(self.path(process, "/data/stage"))  # type: ignore[arg-type]

    def _repair(self, process: Process, without: Sequence[str]) -> None:
        mark = self.state.marks.get(self.stream.name)
        if mark is None:
            return
        side: Any = SimulatedSide(self.server, self.stream)
        comparison: Any = SimulatedComparison(self, process, without)
        comparison.run(mark, side.lookback(mark))
        lock = f"adventure:repair:{self.stream.name}"
        if lock in self.state.locks:
            raise AlreadyRunning("Another repair of the stream things is under way")
        self.state.locks[lock] = process
        try:
            Repair(
                self.stream,
                SimulatedSource(process, self.server),
                side,
                self._folder_stage(process),
                mark,
                self.path(process, "/data/unfinished/repair"),  # type: ignore[arg-type]
                live_keys=100,
                force=True,
            ).run(comparison, len(comparison.verdicts.get("deleted", ())))
        finally:
            self.state.locks.pop(lock, None)

    def _as(self, process: Process, at: int, action: Any, call: Callable[[], Any]) -> None:
        """Run code of a process, with what shall happen at one of its effects."""
        process.left, process.action, process.busy = at, action, True
        self.running.append(process)
        try:
            call()
        except AdventureError as error:
            self.refusals.append(error)
        except Crash:
            pass
        finally:
            self.running.remove(process)
            process.left, process.busy, process.answer_is_lost = 0, False, False


class Processor:
    """A processor: the real loop's steps, one cycle at a time."""

    def __init__(self, world: World) -> None:
        self.process = Process(world)
        self._world = world
        self._stack = ExitStack()
        self._pipeline: Any = None
        self._settings = world.settings(self.process)

    def cycle(self) -> None:
        """Open what is not open, and run a cycle; see `adventure.processor.run._cycles`."""
        try:
            if self._pipeline is None:
                opened = open_pipeline(self._settings, [self._world.stream], retry_for=0)
                self._pipeline = self._stack.enter_context(opened)
            _open_sources(self._pipeline, self._settings, retry_for=0)
            report = run_cycle(self._pipeline)
            self._world.refusals += report.failures.values()
            _reopen_failed(self._pipeline, report)
        except BaseException:
            self._pipeline = None
            self._stack.close()
            raise


@dataclass
class _SimulatedLedger:
    """See `adventure.destinations.common.ledger.SqlLedger`."""

    database: Database

    def loaded_spans(self) -> dict[str, list[Any]]:
        return {STREAM.name: self.database.spans()}

    def loaded_window_ids(self, ids: Any) -> set[str]:
        return {window_id for window_id, _ in self.database.ledger} & set(ids)
