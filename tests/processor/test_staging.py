"""`Staging` stages one window at a time, in order, while its caller goes on; an error is raised in the caller."""

import threading
from functools import partial

import pytest

from adventure.core.errors import StageUnwritable
from adventure.processor.staging import Staging

TIMEOUT_SEC = 60


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("staging")]


def fails() -> None:
    raise StageUnwritable("The disk is full", "Free space")


def test_the_caller_goes_on_while_a_window_is_staged() -> None:
    is_reading, order = threading.Event(), []

    def stage() -> None:
        assert is_reading.wait(TIMEOUT_SEC)
        order.append("staged")

    with Staging() as staging:
        staging.start(stage)
        staging.then(lambda: order.append("noted"))
        order.append("read")
        is_reading.set()
    assert order == ["read", "staged", "noted"]
    assert threads() == []


def test_a_window_waits_until_the_one_before_it_is_staged_and_noted() -> None:
    order: list[str] = []
    with Staging() as staging:
        for name in ("orders", "lines", "chats"):
            staging.start(partial(order.append, f"{name} staged"))
            staging.then(partial(order.append, f"{name} noted"))
    assert order == [f"{name} {step}" for name in ("orders", "lines", "chats") for step in ("staged", "noted")]


def test_a_note_without_a_window_is_made_at_once() -> None:
    order: list[str] = []
    with Staging() as staging:
        staging.then(lambda: order.append("noted"))
        assert order == ["noted"]
    assert threads() == []


def test_the_thread_starts_before_anything_is_read() -> None:
    """Memory depends on it; see `Staging.__init__`."""
    with Staging():
        assert threads() == ["staging_0"]
    assert threads() == []


def test_no_window_follows_one_that_failed_and_nothing_is_noted_of_it() -> None:
    order: list[str] = []

    def cycle() -> None:
        with Staging() as staging:
            staging.start(fails)
            staging.then(lambda: order.append("orders noted"))
            staging.start(lambda: order.append("lines staged"))

    with pytest.raises(StageUnwritable):
        cycle()
    assert order == []
    assert threads() == []


def test_the_end_of_the_block_raises_the_error_of_the_last_window() -> None:
    with pytest.raises(StageUnwritable), Staging() as staging:
        staging.start(fails)
    assert threads() == []


def test_a_caller_that_fails_waits_for_the_window_under_way() -> None:
    staged: list[str] = []

    def cycle() -> None:
        with Staging() as staging:
            staging.start(lambda: staged.append("orders"))
            staging.then(lambda: staged.append("noted"))
            raise ValueError("lines cannot be read")

    with pytest.raises(ValueError, match="cannot be read"):
        cycle()
    assert staged == ["orders", "noted"]
