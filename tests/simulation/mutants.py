"""The known faults: each takes one fix out of the code, and the simulation has to find it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from adventure.destinations.duckdb import stage
from adventure.sources.postgres import clock_steps, horizon
from adventure.sources.postgres import source as postgres


@dataclass(frozen=True)
class Mutant:
    """A fault that was fixed."""

    name: str
    seeds: int
    """The number of seeds, counted from 0, within which a test expects to find it."""
    changes: tuple[tuple[Any, str, Any], ...]
    """Module or class, name, and what replaces it."""

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Take the fix out while the block runs."""
        patches = [patch.object(*change) for change in self.changes]
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()


def _not_whole(end: Any, *_: Any) -> Any:
    return end


def _is_begun(window: Any, loaded: Any) -> bool:
    return any((window.id, file.name) in loaded for file in window.all_files)


_nothing: Callable[..., tuple[()]] = lambda *_: ()  # noqa: E731

MUTANTS = (
    Mutant("tick finer than the column", 11, ((postgres, "whole_units", _not_whole),)),
    Mutant("horizon above a pending transaction", 6, ((horizon, "_oldest_and_reason", lambda *_: (None, None)),)),
    Mutant("clock stepped back", 139, ((clock_steps, "floor_of", lambda last, _: clock_steps.Floor(last.horizon)),)),
    Mutant("a staged file is not synced", 102, ((stage, "_sync", _nothing),)),
)
