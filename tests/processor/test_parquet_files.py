"""Parquet files hold every row once and in order, in full row groups."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adventure.core import files
from adventure.core.files import ParquetParts

SCHEMA = pa.schema([("number", pa.int64()), ("text", pa.string()), ("kind", pa.string())])


def batches(sizes: list[int], text: str = "") -> list[pa.RecordBatch]:
    """Return batches of these sizes, with rows numbered from 0 across all batches."""
    found, first = [], 0
    for size in sizes:
        numbers = range(first, first + size)
        texts = [None if number % 7 == 0 else f"{text}{number}" for number in numbers]
        found.append(pa.record_batch([list(numbers), texts, ["kind"] * size], schema=SCHEMA))
        first += size
    return found


def written(folder: Path, rows: list[pa.RecordBatch]) -> list[pq.ParquetFile]:
    """Write the batches and return the files."""
    parts = ParquetParts(folder, SCHEMA, ["kind"])
    for batch in rows:
        parts.write(batch)
    return [pq.ParquetFile(file.path) for file in parts.close()]


def groups(file: pq.ParquetFile) -> list[int]:
    """Return the number of rows in each row group."""
    return [file.metadata.row_group(index).num_rows for index in range(file.metadata.num_row_groups)]


@given(st.lists(st.integers(0, 35), max_size=8))
def test_row_groups_are_filled_to_their_last_row(sizes: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(files, "ROWS_A_GROUP", 10)
        rows = batches(sizes)
        found = written(Path(folder), rows)
        assert [file.read() for file in found] == ([pa.Table.from_batches(rows)] if sum(sizes) else [])
        for file in found:
            *filled, last = groups(file)
            assert set(filled) <= {10}
            assert 0 < last <= 10


def test_wide_rows_make_smaller_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BYTES_A_GROUP", 10_000)
    rows = batches([5] * 8, "x" * 1_000)
    (file,) = written(tmp_path, rows)
    assert file.read() == pa.Table.from_batches(rows)
    assert groups(file) == [15, 15, 10], "a group ends with the batch that fills it"


def test_a_large_window_is_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ROWS_A_GROUP", 10)
    monkeypatch.setattr(files, "BYTES_A_FILE", 1)
    rows = batches([25])
    found = written(tmp_path, rows)
    assert pa.concat_tables(file.read() for file in found) == pa.Table.from_batches(rows)
    assert [groups(file) for file in found] == [[10], [10], [5]]


@pytest.mark.parametrize(("kinds", "has_dictionary"), [(2, True), (10, True), (11, False), (20, False)])
def test_values_that_repeat_are_written_once(tmp_path: Path, kinds: int, has_dictionary: bool) -> None:
    (batch,) = batches([20])
    batch = batch.set_column(2, "kind", pa.array([str(number % kinds) for number in range(20)]))
    (file,) = written(tmp_path, [batch])
    assert ("RLE_DICTIONARY" in file.metadata.row_group(0).column(2).encodings) is has_dictionary
    assert file.read() == pa.Table.from_batches([batch])


@pytest.mark.parametrize(("delta", "encoding"), [(True, "DELTA_LENGTH_BYTE_ARRAY"), (False, "PLAIN")])
def test_delta_encodings_are_used_if_the_warehouse_reads_them(tmp_path: Path, delta: bool, encoding: str) -> None:
    rows = batches([20])
    parts = ParquetParts(tmp_path, SCHEMA, ["kind"], delta=delta)
    parts.write(rows[0])
    (file,) = (pq.ParquetFile(each.path) for each in parts.close())
    assert encoding in file.metadata.row_group(0).column(1).encodings
    assert file.read() == pa.Table.from_batches(rows)
