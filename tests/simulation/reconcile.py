"""The comparison of source and warehouse, modelled row by row; the repair that follows it is the real one."""

import marshal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from adventure.core.clock import earlier
from adventure.core.files import LocalFile
from adventure.core.spans import micros
from adventure.core.watermark import Watermark
from adventure.reconcile.result import Suspect
from tests.simulation.disk import SimulatedPath
from tests.simulation.process import Process
from tests.simulation.source import SimulatedSide, lost
from tests.simulation.warehouse import as_tombstone

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass
class SimulatedComparison:
    """See `adventure.reconcile.comparison.Comparison`. `_verdict` is its SQL in Python."""

    world: "World"
    process: Process
    without: Sequence[str]
    verdicts: dict[str, list[Suspect]] = field(default_factory=dict)

    def run(self, mark: Watermark, lookback: timedelta) -> None:
        """Compare all rows below the watermark."""
        world, side = self.world, SimulatedSide(self.world.server, self.world.stream)
        self.process.effect(lost)
        keys = [(str(key),) for key in sorted(world.database.latest().keys() | world.server.rows.keys())]
        self.process.effect(lost)
        present = {key: cursor for key, cursor, _ in side.lookup(keys)}
        self.process.effect(lost)
        waiting, are_whole = self._waiting()
        self.process.effect(lost)
        held = world.database.latest()
        in_flight = micros(earlier(mark.value, lookback) if are_whole and not self.without else mark.value)
        for (key,) in keys:
            row = held.get(int(key))
            verdict = _verdict(
                present.get(key),
                (row.cursor, row.live) if row else None,
                waiting.get(int(key), (None, False)),
                in_flight,
            )
            self.verdicts.setdefault(verdict, []).append(
                Suspect((key,), (key,) if row else None, row.cursor if row else None)
            )

    def suspects(self, *verdicts: str) -> Iterator[list[Suspect]]:
        found = [suspect for verdict in verdicts for suspect in self.verdicts.get(verdict, ())]
        if found:
            yield found

    def _waiting(self) -> tuple[dict[int, tuple[int | None, bool]], bool]:
        """Return each key's latest staged cursor and whether it is deleted, and whether all windows can be loaded."""
        found: dict[int, tuple[int | None, bool]] = {}
        world, are_whole = self.world, True
        for window in world.staged_windows():
            if window.id in self.without or world.is_loaded(window):
                continue
            if not world.is_whole(window):
                are_whole = False
                continue
            for file in window.all_files:
                for line in marshal.loads(world.content(window, file.name) or b""):
                    key, (cursor, dead) = line[0], found.get(line[0], (None, False))
                    if file is window.deletes:
                        found[key] = (cursor, True)
                    else:
                        found[key] = (max(filter(None, (cursor, line[1]))), dead)
        return found, are_whole


def _verdict(
    source: int | None, held: tuple[int, bool] | None, waiting: tuple[int | None, bool], in_flight: int
) -> str:
    is_live = held is not None and held[1]
    if source is None:
        if not is_live:
            return "equal"
        return "in flight" if waiting[1] else "deleted"
    if source >= in_flight:
        return "in flight"
    if held is not None:
        if is_live and held[0] == source:
            return "equal"
        if held[0] > source or held[0] == source:
            return "behind"
    if waiting[0] is not None and waiting[0] >= source:
        return "in flight"
    return "stale" if is_live else "missing"


class SimulatedLines:
    """See `adventure.core.files.NdjsonFile`, as `Repair` uses it."""

    def __init__(self, path: SimulatedPath) -> None:
        self._path = path
        self._lines: list[tuple[int, int]] = []

    def __enter__(self) -> "SimulatedLines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, line: bytes) -> None:
        self._lines.append(as_tombstone(orjson.loads(line)))

    def close(self) -> Any:
        if not self._lines:
            return None
        self._path.write_bytes(marshal.dumps(self._lines))
        return LocalFile(self._path, len(self._lines))  # type: ignore[arg-type]
