"""Any content of window.json is either a complete window or reported as damaged."""

import copy
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from adventure.core.errors import StageDamaged
from adventure.core.manifest import Column, StagedFile, Window, read_manifest

T0 = datetime(2026, 1, 2, 3, 4, 5, 678901)
SHA = "0123456789abcdef" * 4
PART = StagedFile("part-00000.parquet", 100, 2000, SHA)
TABLE = Window(
    stream="orders",
    stage="orders_stage",
    low=T0,
    high=T0 + timedelta(seconds=1),
    run_id="0a1b2c3d",
    files=(PART, replace(PART, name="part-00001.parquet")),
    rejects=StagedFile("rejects.ndjson.gz", 1, 20, SHA),
    columns=(Column("id", "int64"), Column("total", "decimal128(38, 9)"), Column("at", "timestamp[us]")),
    staged_at=T0,
    horizon=T0 + timedelta(seconds=1),
    mode="horizon",
    deletes=StagedFile("deletes.ndjson.gz", 1, 20, SHA),
    notes={"rows dated in the future": "3"},
)
DOCUMENTS = replace(
    TABLE,
    low=None,
    files=(replace(PART, name="part-00000.ndjson.gz"),),
    rejects=None,
    deletes=None,
    columns=(Column("raw", "json"),),
    position="82AB",
)


def read(content: bytes, window: Window = TABLE) -> Window:
    return read_manifest(content, "window.json", window.stage, window.id)


@pytest.mark.parametrize("window", [TABLE, DOCUMENTS, replace(TABLE, files=(), columns=(), rejects=None)])
def test_a_window_is_read_back_from_its_json(window: Window) -> None:
    assert read(window.to_json(), window) == window


def changed(path: str, value: Any) -> bytes:
    """Return the JSON of TABLE with another value at that path."""
    document = orjson.loads(TABLE.to_json())
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    where = document
    for part in parents:
        where = where[part]
    where[last] = value
    return orjson.dumps(document)


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("columns.1.type", "decimal128(39, 9)", "column total has the type 'decimal128(39, 9)'"),
        ("columns.1.type", "large_string", "column total has the type 'large_string'"),
        ("columns.1.type", "json", "a document has the one column raw"),
        ("columns.1.name", "id", "two columns have the same name"),
        ("columns.1.name", "", "a column has no name"),
        ("columns", [], "its columns are not those of part-00000.parquet"),
        ("files.1.name", "part-00000.parquet", "it lists a file twice"),
        ("files.1.name", "part-00001.ndjson.gz", "its columns are not those of part-00001.ndjson.gz"),
        ("files.1.name", "../part-00001.parquet", "which is no file of its window"),
        ("files.1.name", "window.json", "which is no file of its window"),
        ("files.1.name", "deletes.ndjson.gz", "it lists a file twice"),
        ("rejects.name", "part-00002.parquet", "which is no file of its window"),
        ("files.0.rows", -1, "cannot have -1 rows"),
        ("files.0.rows", "100", "files.0.rows must be a whole number"),
        ("files.0.rows", 100.0, "files.0.rows must be a whole number"),
        ("files.0.bytes", None, "files.0.bytes must be a whole number"),
        ("files.0.sha256", "x", "part-00000.parquet has no SHA-256"),
        ("files.0.more", 1, "files.0.more is not known here"),
        ("files", {}, "files must be a list"),
        ("notes", {"a": 1}, "notes.a must be text"),
        ("stream", None, "stream must be text"),
        ("low", 5, "low must be a time"),
        ("low", "2027-01-01T00:00:00", "low is above high"),
        ("staged_at", "2026-01-01T00:00:00Z", "a timestamp has an offset"),
        ("new", 1, "new is not known here"),
        ("run_id", "../x", "belongs to the window"),
        ("stage", "chat_stage", "belongs to the window"),
    ],
)
def test_errors_name_the_faulty_part_of_a_manifest(path: str, value: Any, fault: str) -> None:
    with pytest.raises(StageDamaged) as caught:
        read(changed(path, value))
    assert fault in str(caught.value)
    assert caught.value.window_id == TABLE.id


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["window.json", "part-00000.parquet", "int32", "json", "9999-12-31T23:59:59", "-1", SHA]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Yield the path of every value in a JSON document."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(deeper for key, value in pairs for deeper in paths(value, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid manifest with a few values replaced, removed, duplicated or swapped."""
    document: Any = orjson.loads(draw(st.sampled_from([TABLE, DOCUMENTS])).to_json())
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(paths(document)))
        if not path:
            document = draw(JSON) if draw(st.integers(0, 9)) == 0 else document
            continue
        where = document
        for part in path[:-1]:
            where = where[part]
        change = draw(st.sampled_from(["replace", "remove", "double", "other"]))
        if change == "replace":
            where[path[-1]] = draw(JSON)
        elif change == "remove":
            del where[path[-1]]
        elif change == "double" and isinstance(where, list):
            where.append(copy.deepcopy(where[path[-1]]))
        else:
            other = draw(st.sampled_from(paths(document)))
            value = document
            for part in other:
                value = value[part]
            where[path[-1]] = copy.deepcopy(value)
    content = json.dumps(document).encode()
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=4)) + content[at + draw(st.integers(0, 4)) :]
    return content


@hypothesis_settings(max_examples=1000)
@given(content=mutated())
def test_any_manifest_is_a_window_or_damaged(content: bytes) -> None:
    try:
        window = Window.from_json(content, "window.json")
    except StageDamaged:
        return
    names = [file.name for file in window.all_files]
    assert len(set(names)) == len(names)
    assert Window.from_json(window.to_json(), "window.json") == window
