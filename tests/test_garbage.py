"""The search for garbage pauses in a block, and only there."""

import gc
import weakref

import pytest

from adventure.core.garbage import searched_later


class Node:
    """An object that refers to itself, so that only a search frees it."""

    def __init__(self) -> None:
        self.itself = self


def test_no_search_starts_in_the_block() -> None:
    searches: list[str] = []

    def note(phase: str, _: object) -> None:
        searches.append(phase)

    with searched_later():
        gc.callbacks.append(note)
        cycle = weakref.ref(Node())
        kept = [[] for _ in range(100_000)]  # type: ignore[var-annotated]
        gc.callbacks.remove(note)
    assert kept
    assert searches == []
    assert gc.isenabled()
    gc.collect()
    assert cycle() is None


def test_it_goes_on_after_an_error_and_not_where_it_was_off() -> None:
    with pytest.raises(ZeroDivisionError), searched_later():
        assert 1 / 0
    assert gc.isenabled()
    gc.disable()
    try:
        with searched_later():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
