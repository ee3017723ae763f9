"""The matrix of writers for an API: records change in many ways while the real cycles run, and none is lost.

The oracle is what the API has at the end: the stage contains the last version of each record, and no version that the
API never had.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response

from adventure.core.clock import utc_now
from adventure.core.errors import SourceUnavailable
from adventure.sources.http import client
from tests.http.api import Api, Cut
from tests.http.conftest import Reader, styled

pytestmark = pytest.mark.slow

SECONDS = 2.0
WRITERS = 3
LOOKBACK = timedelta(seconds=10)
LAST_CYCLES = 3
"""Cycles without a failure after the last write. The first of them may have begun before."""


@dataclass
class Writer:
    """One session that writes only its own records."""

    api: Api
    number: int
    written: dict[str, int] = field(default_factory=dict)
    """The last version of each record."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.number)

    def version(self) -> tuple[str, int]:
        """Return the key and the version of a record that is written next: a new one, or one that changes."""
        if self.written and self.random.random() < 0.4:
            key = self.random.choice(list(self.written))
            return key, self.written[key] + 1
        return f"{self.number}-{len(self.written)}", 1

    def put(self, at: datetime, **members: Any) -> None:
        """Write a version with that cursor."""
        key, version = self.version()
        self.written[key] = version
        self.api.put(key, at, version=version, **members)

    def pause(self, longest: float) -> None:
        time.sleep(self.random.uniform(0, longest))


def in_order(writer: Writer) -> None:
    writer.put(utc_now())


def late_commit(writer: Writer) -> None:
    """Several records take their times, and appear after others that took a later one."""
    begun = utc_now()
    writer.pause(0.6)
    for _ in range(3):
        writer.put(begun)


def late_clock(writer: Writer) -> None:
    writer.put(utc_now() - timedelta(seconds=writer.random.uniform(0, 5)))


def early_clock(writer: Writer) -> None:
    """A record after the API's own time is staged when that has come."""
    writer.put(utc_now() + timedelta(seconds=writer.random.uniform(0, 0.8)))


def whole_seconds(writer: Writer) -> None:
    """Many versions of a record have the same cursor."""
    writer.put(utc_now().replace(microsecond=0))


def burst(writer: Writer) -> None:
    """More versions than a page holds have the same cursor."""
    at = utc_now()
    for _ in range(40):
        writer.put(at)
    writer.pause(0.6)


def marked_deletion(writer: Writer) -> None:
    writer.put(utc_now(), status=writer.random.choice(["published", "deleted"]))


WAYS = (in_order, late_commit, late_clock, early_clock, whole_seconds, burst, marked_deletion)


@contextmanager
def writing(api: Api, way: Callable[[Writer], None]) -> Iterator[list[Writer]]:
    """Write in that way, in several threads, until the block ends."""
    writers, ended = [Writer(api, number) for number in range(WRITERS)], threading.Event()
    failures: list[BaseException] = []

    def write(writer: Writer) -> None:
        try:
            while not ended.is_set():
                way(writer)
                writer.pause(0.03)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            failures.append(error)

    threads = [threading.Thread(target=write, args=[writer]) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    for failure in failures:
        raise failure


def cycles(reader: Reader, stream: Any, enough: Callable[[int], bool]) -> None:
    """Run cycles until so many that succeeded are enough."""
    succeeded = 0
    while not enough(succeeded):
        # Counted pages may move in every pass while they are written, and an API may fail for long.
        with suppress(SourceUnavailable):
            reader.cycle(stream)
            succeeded += 1


def compare(api: Api, reader: Reader, writers: list[Writer]) -> None:
    """Compare the stage with what was written, and with what the API has."""
    written = {key: version for writer in writers for key, version in writer.written.items()}
    staged: dict[str, dict[str, Any]] = {}
    for record in map(orjson.loads, reader.lines()):
        assert record["version"] <= written[record["id"]]
        if record["version"] >= staged.get(record["id"], record)["version"]:
            staged[record["id"]] = record
    assert staged == api.records
    assert len(written) > WRITERS


def run(api: Api, reader: Reader, stream: Any, way: Callable[[Writer], None]) -> None:
    """Write and read at the same time, then read what is left, and compare."""
    with writing(api, way) as writers:
        ends_at = time.monotonic() + SECONDS
        cycles(reader, stream, lambda _: time.monotonic() > ends_at)
    # The cursors of an early clock are then below the API's own time.
    time.sleep(1.0)
    cycles(reader, stream, lambda succeeded: succeeded == LAST_CYCLES)
    compare(api, reader, writers)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_FIRST_PAUSE", 0.01)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_no_way_of_writing_loses_a_record(api: Api, reader: Reader, way: Callable[[Writer], None]) -> None:
    api.page_size = 20
    run(api, reader, replace(styled("next"), lookback=LOOKBACK), way)


@pytest.mark.parametrize("style", ["none", "link", "token", "number", "offset"])
def test_no_way_of_paging_loses_a_record(api: Api, reader: Reader, style: str) -> None:
    api.page_size, api.style = 200, style
    run(api, reader, replace(styled(style), lookback=LOOKBACK), late_commit)


@pytest.mark.parametrize(("inclusive", "whole"), [(False, False), (False, True), (True, True)])
def test_no_meaning_of_since_loses_a_record(api: Api, reader: Reader, inclusive: bool, whole: bool) -> None:
    api.page_size, api.inclusive, api.whole_seconds = 20, inclusive, whole
    run(api, reader, replace(styled("next"), lookback=LOOKBACK), late_commit)


def test_an_api_that_fails_at_random_loses_no_record(api: Api, reader: Reader) -> None:
    chance = random.Random(1)

    def fail(_: Request) -> Response | None:
        broken = (
            Response(b"{}", 429, {"retry-after": "0"}, "application/json"),
            Response(b"{}", 500, media_type="application/json"),
            Response(b'{"data": {"items": [{"id": "0', media_type="application/json"),
            Response(b"<html>", media_type="text/html"),
            Cut(b'{"data": {"items": ['),
        )
        return chance.choice(broken) if chance.random() < 0.25 else None

    api.page_size, api.always = 20, fail
    run(api, reader, replace(styled("next"), lookback=LOOKBACK), late_commit)


def test_a_record_later_than_the_lookback_is_missed(api: Api, reader: Reader) -> None:
    """What the docs do not promise. It also shows that the comparison of these tests finds a lost record."""
    stream, writer = replace(styled("next"), lookback=timedelta(seconds=1)), Writer(api, 0)
    for _ in range(60):
        writer.put(utc_now())
    reader.cycle(stream)
    writer.put(utc_now() - timedelta(seconds=60))
    cycles(reader, stream, lambda succeeded: succeeded == LAST_CYCLES)
    with pytest.raises(AssertionError):
        compare(api, reader, [writer])
