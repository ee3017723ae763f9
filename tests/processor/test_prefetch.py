"""`prefetch` yields the items in order, prefetches at most its depth, and leaves no thread behind."""

import threading
import time
from collections.abc import Iterator

import pytest

from adventure.sources.prefetch import DEPTH, prefetch


def never() -> None:
    raise AssertionError("nothing is to be cancelled")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.mark.parametrize("count", [0, 1, DEPTH, 10 * DEPTH])
def test_the_items_in_their_order(count: int) -> None:
    with prefetch(iter(range(count)), never) as items:
        assert list(items) == list(range(count))
    assert threads() == []


def test_it_prefetches_up_to_its_depth() -> None:
    read: list[int] = []

    def source() -> Iterator[int]:
        for number in range(10 * DEPTH):
            read.append(number)
            yield number

    with prefetch(source(), never) as items:
        deadline = time.monotonic() + 60
        while len(read) <= DEPTH and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert len(read) == DEPTH + 1, "the depth, and one item that waits for space"
        assert next(items) == 0
        assert list(items) == list(range(1, 10 * DEPTH))


def test_an_error_is_raised_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("the source failed")

    taken: list[int] = []

    def take() -> None:
        with prefetch(source(), never) as items:
            taken.extend(items)

    with pytest.raises(ValueError, match="the source failed"):
        take()
    assert taken == [1]
    assert threads() == []


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, GeneratorExit])
def test_a_caller_that_fails_cancels_the_fetch(error: type[BaseException]) -> None:
    cancelled = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        assert cancelled.wait(60), "a fetch that only a cancel ends"
        raise ConnectionError("cancelled")

    def take() -> None:
        with prefetch(source(), cancelled.set) as items:
            assert next(items) == 1
            raise error

    with pytest.raises(error):
        take()
    assert cancelled.is_set()
    assert threads() == []


def test_a_caller_that_stops_early_leaves_no_thread() -> None:
    with prefetch(iter(range(10 * DEPTH)), never) as items:
        assert next(items) == 0
    assert threads() == []
