"""A short run of the matrix: no way of writing loses a row, or the stream is refused with an error message."""

from pathlib import Path

import pytest

from adventure.demo.sandbox import Sandbox
from tests.clocked import clocked_server, library
from tests.conftest import ROOT
from tests.pooler import PGBOUNCER, poolers
from tests.stress.cells import CELLS, Cell, as_table
from tests.stress.matrix import World
from tests.stress.run import run_all

SECONDS = 2.5


def _cells(*, clock: bool, pooler: bool) -> list[Cell]:
    return [cell for cell in CELLS if cell.clock is clock and (cell.dimension == "pooler") is pooler]


def _faults(world: World, cells: list[Cell], seconds: float) -> list[str]:
    return [fault for cell, outcome in run_all(world, cells, seconds) for fault in outcome.faults(cell)]


@pytest.mark.slow
def test_every_cell_is_read_exactly_or_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    with poolers(sandbox, lambda: tmp_path) as pool:
        assert _faults(World(sandbox, tmp_path, pool), _cells(clock=False, pooler=False), SECONDS) == []


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
def test_through_a_pooler(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    with poolers(sandbox, lambda: tmp_path_factory.mktemp("pgbouncer")) as pool:
        world = World(sandbox, tmp_path, pool, name="pooled")
        assert _faults(world, _cells(clock=False, pooler=True), SECONDS) == []


@pytest.mark.slow
@pytest.mark.skipif(library() is None, reason="libfaketime is not installed")
def test_while_the_clock_is_set(sandbox: Sandbox, tmp_path: Path) -> None:
    with clocked_server(tmp_path / "clocked", sandbox) as server, poolers(server, lambda: tmp_path) as pool:
        world = World(server, tmp_path, pool)
        assert _faults(world, _cells(clock=True, pooler=False), 2 * SECONDS) == []


def test_the_guarantees_show_the_matrix() -> None:
    assert as_table() in (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
