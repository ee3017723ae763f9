"""A page that is converted at once becomes the same files as one whose records are converted one by one."""

import gzip
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from adventure.core.streams import Stream
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.http.batch import batch_of
from adventure.sources.http.records import parse
from adventure.sources.http.writer import RecordWriter
from tests.http.conftest import REVIEWS, styled

AT = "2026-01-02T03:04:05Z"
LOW, HORIZON = datetime(2026, 1, 2), datetime(2026, 1, 3)
Found = tuple[list[bytes], list[bytes], datetime | None, int, bool]


def record(key: Any, at: Any = AT, **members: Any) -> dict[str, Any]:
    return {"id": key, "meta": {"changed": at}, **members}


def lines_in(folder: Path, pattern: str) -> list[bytes]:
    return [line for path in folder.glob(pattern) for line in gzip.decompress(path.read_bytes()).splitlines()]


def written(folder: Path, stream: Stream, pages: list[bytes], known: Deduplicator, *, at_once: bool) -> Found:
    """Return the lines, the rejected rows and the figures of an extract of these pages."""
    known.begin()
    with RecordWriter(stream, LOW, known, folder / "reviews", remember=True) as writer:
        writer.horizon = HORIZON
        for page in pages:
            value, lines = parse(page, "data.items")
            writer.write_all(value["data"]["items"], lines if at_once else None)
        writer.extract()
    known.staged(LOW)
    found = lines_in(folder / "reviews", "part-*"), lines_in(folder / "reviews", "rejects*")
    return *found, writer.last, writer.found, writer.is_waiting


@pytest.mark.parametrize(
    ("records", "is_batch"),
    [
        ([record("a"), record("b", "2026-01-02T03:04:05.123456Z", n=[1.5, None, True])], True),
        ([record(1), record(2**40, "2026-01-02 03:04:05+02:00")], True),
        ([record("a", text='they said "},{" twice'), record("b", text="},{")], True),
        ([record("a", parts=[{"x": 1}, {"x": 2}]), record("b")], True),
        ([record("a", text="where the records were"), record("b", text='"where the records were"')], True),
        ([record("a"), record("a"), record("a", stars=2)], True),
        ([record("early", "2026-01-01T23:59:59Z"), record("a"), record("late", "2026-01-03T00:00:00Z")], True),
        ([record("early", "2025-01-01T23:59:59Z")], True),
        ([], False),
        ([record("a"), record("123")], False),
        ([record("a"), record(1.5)], False),
        ([record("a"), record(True)], False),
        ([record("a"), record(None)], False),
        ([record("a"), record("b", f"{AT}\n{AT}")], False),
        ([record("a"), record("b", "2026-02-30T00:00:00Z")], False),
        ([record("a"), record("b", "0001-01-01T00:00:00+05:00")], False),
        ([record("a"), record("b", "2026-01-02")], False),
        ([record("a"), record("b", 7)], False),
        ([record("a"), record("b", _adventure_key={})], False),
        ([record("a"), record("b", _adventure_cursor="x")], False),
        ([record("a"), "b"], False),
    ],
)
def test_the_files_are_the_same(tmp_path: Path, records: list[Any], is_batch: bool) -> None:
    for number, stream in enumerate((REVIEWS, replace(REVIEWS, key=("id", "meta.changed")))):
        page = orjson.dumps({"note": "where the records were", "data": {"items": records}, "total": 2})
        value, lines = parse(page, "data.items")
        assert value == orjson.loads(page)
        assert lines == [orjson.dumps(each) for each in records]
        if stream is REVIEWS:
            assert (batch_of(records, lines, stream) is not None) == is_batch
        fast, slow = (
            written(tmp_path / f"{number}-{at_once}", stream, [page, page], Deduplicator(), at_once=at_once)
            for at_once in (True, False)
        )
        assert fast == slow


@pytest.mark.parametrize("at_once", [True, False])
def test_what_one_way_has_staged_is_not_new_to_the_other(tmp_path: Path, at_once: bool) -> None:
    page, known = orjson.dumps({"data": {"items": [record("a"), record("b", text="},{")]}}), Deduplicator()
    assert len(written(tmp_path / "first", REVIEWS, [page], known, at_once=at_once)[0]) == 2
    assert written(tmp_path / "second", REVIEWS, [page], known, at_once=not at_once)[0] == []


@pytest.mark.parametrize("path", ["", "items", "data.items"])
@pytest.mark.parametrize(
    ("record", "is_exact"),
    [
        ('{"n":1.5,"text":"größer","list":[1,{"x":null}]}', True),
        ('{"n": 1}', False),
        ('{"n":1.10}', False),
        ('{"n":1,"n":1}', False),
        ('{"n":123456789012345678901234567890}', False),
        ('{"n":-0}', False),
        (r'{"text":"gr\u00f6\u00dfer"}', False),
        ('{"n":1} ', False),
    ],
)
def test_only_a_page_that_orjson_would_not_change_has_lines(path: str, record: str, is_exact: bool) -> None:
    text = f"[{record},{record}]"
    for name in reversed(path.split(".") if path else []):
        text = f'{{"total":2,"{name}":{text},"next":"?page=2"}}'
    value, lines = parse(text.encode(), path)
    assert lines == ([record.encode()] * 2 if is_exact else None)
    assert str(value).count("text" if "text" in record else "n") >= 2
    assert parse(text.replace("total", "total ").encode().replace(b'"total "', b'"total" '), path)[1] == (
        lines if path == "" else None
    )


def test_a_shaped_stream_converts_each_record() -> None:
    stream = replace(REVIEWS, exclude=("text",))
    assert batch_of([record("a")], [orjson.dumps(record("a"))], stream) is None
    assert batch_of([record("a", 7)], [orjson.dumps(record("a", 7))], styled("next", time="seconds")) is None
