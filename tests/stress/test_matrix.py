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


def _cells(*, clock: bool, only: str | None = None) -> list[Cell]:
    """Return the cells of one dimension, or of those that have no test of their own."""
    alone = ("pooler", "log")
    return [
        cell
        for cell in CELLS
        if cell.clock is clock and (cell.dimension == only if only else cell.dimension not in alone)
    ]


def _faults(world: World, cells: list[Cell], seconds: float) -> list[str]:
    return [fault for cell, outcome in run_all(world, cells, seconds) for fault in outcome.faults(cell)]


@pytest.mark.slow
def test_every_cell_is_read_exactly_or_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    with poolers(sandbox, lambda: tmp_path) as pool:
        assert _faults(World(sandbox, tmp_path, pool), _cells(clock=False), SECONDS) == []


@pytest.mark.slow
def test_by_the_log(sandbox: Sandbox, tmp_path: Path) -> None:
    """Apart from the other cells, whose open transactions keep a slot from being created."""
    with poolers(sandbox, lambda: tmp_path) as pool:
        world = World(sandbox, tmp_path, pool, name="logged")
        assert _faults(world, _cells(clock=False, only="log"), SECONDS) == []


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
def test_through_a_pooler(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    with poolers(sandbox, lambda: tmp_path_factory.mktemp("pgbouncer")) as pool:
        world = World(sandbox, tmp_path, pool, name="pooled")
        assert _faults(world, _cells(clock=False, only="pooler"), SECONDS) == []


@pytest.mark.slow
@pytest.mark.skipif(library() is None, reason="libfaketime is not installed")
def test_while_the_clock_is_set(sandbox: Sandbox, tmp_path: Path) -> None:
    with clocked_server(tmp_path / "clocked", sandbox) as server, poolers(server, lambda: tmp_path) as pool:
        world = World(server, tmp_path, pool)
        assert _faults(world, _cells(clock=True), 2 * SECONDS) == []


def test_the_guarantees_show_the_matrix() -> None:
    assert as_table() in (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
