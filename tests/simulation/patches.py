"""Put the simulated clock, disk, connections and random names in the place of the real ones.

These are the names that the real modules import: the code that uses them is not changed.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from adventure.core import files, private
from adventure.destinations.duckdb import load, stage, warehouse
from adventure.processor import cycle, recovery, report, reset, run, state
from adventure.reconcile import repair
from adventure.sources.postgres import horizon, planner, snapshot, zone
from adventure.sources.postgres import source as postgres
from tests.simulation import source as simulated
from tests.simulation.disk import SimulatedOs, SimulatedShutil
from tests.simulation.process import moment
from tests.simulation.reconcile import SimulatedLines
from tests.simulation.state import SimulatedState
from tests.simulation.warehouse import write_tombstones

if TYPE_CHECKING:
    from tests.simulation.world import World


class Current:
    """The world in which the real code runs now."""

    world: "World"


def _now() -> datetime:
    return moment(Current.world.true_us)


def _token(size: int) -> str:
    Current.world.tokens += 1
    return f"{Current.world.tokens:0{2 * size}x}"


def _settings_stage(settings: Any) -> Any:
    return settings.stage


_SILENT = simulated.Silent()
_TIME = SimpleNamespace(monotonic=lambda: Current.world.true_us / 1e6)
_SECRETS = SimpleNamespace(token_hex=_token)


def _make_folder(path: Any) -> None:
    path.mkdir(parents=True, exist_ok=True)


@contextmanager
def simulated_modules() -> Iterator[None]:
    """Let the real modules use the simulated world while the block runs."""
    replaced: list[tuple[Any, dict[str, Any]]] = [
        (cycle, {"utc_now": _now, "time": _TIME, "secrets": _SECRETS, "shutil": SimulatedShutil, "log": _SILENT}),
        (recovery, {"log": _SILENT}),
        (report, {"log": _SILENT}),
        (run, {"open_stage": _settings_stage, "State": _open_state, "open_source": _open_source, "log": _SILENT}),
        (state, {"utc_now": _now, "time": _TIME}),
        (reset, {"open_stage": _settings_stage, "State": _open_state}),
        (
            stage,
            {
                "os": SimulatedOs,
                "shutil": SimulatedShutil,
                "secrets": _SECRETS,
                "only_owner": lambda: None,
                "close_to_others": lambda _: None,
                "make_folder": _make_folder,
            },
        ),
        (files, {"make_folder": _make_folder}),
        (private, {"only_owner": lambda: None}),
        (load, {"utc_now": _now, "write_tombstones": write_tombstones}),
        (warehouse, {"connect": lambda opened, *_: opened.connect(), "log": _SILENT}),
        (
            repair,
            {
                "utc_now": _now,
                "secrets": _SECRETS,
                "shutil": SimulatedShutil,
                "NdjsonFile": SimulatedLines,
                "log": _SILENT,
            },
        ),
        (horizon, {"Moment": SimpleNamespace(now=lambda: simulated.own_clocks(Current.world))}),
        (planner, {"plan_stream": simulated.plan_stream, "refusal": lambda *_: None}),
        (snapshot, {"RowWriter": simulated.SimulatedWriter}),
        (zone, {"earliest_ahead": simulated.earliest_ahead}),
        (
            postgres,
            {
                "read_relations": simulated.read_relations,
                "read_origin": simulated.read_origin,
            },
        ),
    ]
    with ExitStack() as stack:
        for module, names in replaced:
            for name, value in names.items():
                stack.enter_context(patch.object(module, name, value))
        yield


def _open_state(settings: Any, streams: Any) -> SimulatedState:
    return SimulatedState(settings.process.world, settings.process, streams[0])


def _open_source(kind: str, settings: Any, *, retry_for: float | None = None) -> simulated.SimulatedSource:
    return simulated.SimulatedSource(settings.process, settings.process.world.server)
