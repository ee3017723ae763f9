"""The watermarks in memory, under the real `State`: only its SQL and its locks are modelled."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from adventure.core.errors import AlreadyRunning
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.processor import state as real
from tests.simulation.process import Process, moment
from tests.simulation.source import lost

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass
class StateDatabase:
    """The table of watermarks, and the advisory locks."""

    marks: dict[str, Watermark] = field(default_factory=dict)
    resets: dict[str, datetime] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)
    locks: dict[str, "SimulatedState | Process"] = field(default_factory=dict)

    def disconnect(self, process: Process) -> None:
        """Release the locks of a process that has ended."""
        for name, holder in list(self.locks.items()):
            if process in (holder, getattr(holder, "process", None)):
                del self.locks[name]

    def copy(self) -> "StateDatabase":
        """Return a backup."""
        return StateDatabase(dict(self.marks), dict(self.resets), dict(self.begun))


class SimulatedState(real.State):
    """The real state on a simulated connection."""

    compares = True
    """Whether a watermark moves only from the value that the processor knows; False in a mutant."""

    def __init__(self, world: "World", process: Process, stream: Stream) -> None:
        self._database, self.process = world.state, process
        self._closed = False
        process.effect(lost)
        if f"adventure:{stream.name}" in self._database.locks:
            raise AlreadyRunning(f"Another processor works on the stream {stream.name}")
        self._database.locks[f"adventure:{stream.name}"] = self
        self.watermarks = dict(self._database.marks)
        self.resets = dict(self._database.resets)
        self.begun = dict(self._database.begun)
        self._saved_at = {}

    @property
    def is_lost(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        for name, holder in list(self._database.locks.items()):
            if holder is self:
                del self._database.locks[name]

    @contextmanager
    def undisturbed(self, stream: Stream) -> Iterator[bool]:
        self.process.effect(lost)
        name = f"adventure:repair:{stream.name}"
        alone = name not in self._database.locks
        if alone:
            self._database.locks[name] = self
        try:
            yield alone
        finally:
            if alone:
                self._database.locks.pop(name, None)

    def _set(self, stream: str, statement: Any, values: dict[str, Any]) -> None:
        try:
            self.process.effect(lost)
            if self._closed:
                raise lost()
            changed = self._change(stream, statement, values)
            self.process.answered(lost)
        except Exception:
            # A statement that failed was one whose connection was lost, and the lock with it.
            self.close()
            raise
        if not changed:
            raise AlreadyRunning(f"The watermark of {stream} was moved by another process")
        self._saved_at[stream] = self.process.world.true_us / 1e6

    def _change(self, stream: str, statement: Any, values: Mapping[str, Any]) -> bool:
        """Do what the statement does; return whether it found the row as the processor knows it."""
        marks = self._database.marks
        before = marks.get(stream)
        at = before.value if before else None
        if statement is real._ADVANCE:
            if self.compares and at != values["low"]:
                return False
            self._database.begun.pop(stream, None)
            marks[stream] = Watermark(
                stream,
                values["high"],
                values["horizon"],
                values["mode"],
                moment(self.process.world.true_us),
                values["position"],
                values["window_id"],
                json.loads(values["owner"]),
                Origin(**json.loads(values["origin"])),
                before.read_from if before else None,
                before.refused if before else None,
            )
            return True
        if statement is real._RESET:
            if at != values["before"]:
                return False
            # Only resets to the beginning occur here; they leave no watermark.
            assert values["at"] is None
            marks.pop(stream, None)
            self._database.begun.pop(stream, None)
            self._database.resets[stream] = values["reset_at"]
            return True
        if statement is real._BEGIN:
            if before is not None or self._database.begun.get(stream) != values["before"]:
                return False
            self._database.begun[stream] = values["position"]
            return True
        if before is None or at != values["watermark"]:
            return False
        if statement is real._SAVE_POSITION:
            if before.position != values["before"]:
                return False
            marks[stream] = replace(
                before,
                mode=values["mode"],
                position=values["position"],
                owner=json.loads(values["owner"]),
                origin=Origin(**json.loads(values["origin"])),
            )
            return True
        if statement is real._REFUSE:
            marks[stream] = replace(before, refused=tuple(json.loads(values["refused"])))
            return True
        raise AssertionError("the simulated state does not know this statement")
