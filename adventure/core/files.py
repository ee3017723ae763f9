"""Write local files: Parquet for tables, compressed NDJSON for documents and rejected rows.

A file stays in its stream's temporary folder until it is staged. This module is independent of the sources.
"""

import errno
import gzip
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from isal import igzip

from adventure.core import heartbeat
from adventure.core.errors import StageUnwritable
from adventure.core.faults import Point, reached
from adventure.core.kernels import call
from adventure.core.manifest import REJECTS, StagedFile
from adventure.core.private import make_folder

SAMPLE_ROWS = 8_192
"""How many rows of a file show whether a column's values repeat."""

ROWS_A_GROUP = 61_440
"""Half of DuckDB's own row group: the last group is encoded only after the final row, and is held in memory."""

BYTES_A_GROUP = 48 << 20
"""The size limit of a row group, because a group is collected in memory."""

BYTES_A_FILE = 200_000_000
"""Bulk loaders are fastest with files of 100 to 250 MB."""


@dataclass(frozen=True)
class LocalFile:
    """A complete file that is not staged yet."""

    path: Path
    rows: int

    def staged(self) -> StagedFile:
        """Return the entry in window.json.

        Raises:
            StageUnwritable: the file cannot be read back; nothing of the window is staged.
        """
        try:
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return StagedFile(self.path.name, self.rows, self.path.stat().st_size, digest)
        except OSError as error:
            raise StageUnwritable(
                f"The file {self.path}, which was just written, cannot be read: {error.strerror or error}",
                "Check the disk that DATA_DIR is on; the next cycle writes the file again",
            ) from error


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn file system errors of the block into StageUnwritable.

    Raises:
        StageUnwritable: no permission or no space; nothing of the window is staged.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StageUnwritable(
            f"Files for the stage cannot be written to {folder}: {error.strerror or error}",
            "Free space there" if full else "Check its permissions, or set DATA_DIR to another folder",
        ) from error


class ParquetParts:
    """Write record batches into part-00000.parquet, part-00001.parquet, … of a size that loads well.

    Args:
        low_cardinality: columns of types whose values may repeat, so that a dictionary may save space.
        delta: whether the warehouse reads delta encodings, which take less time and space.
    """

    def __init__(self, folder: Path, schema: pa.Schema, low_cardinality: list[str], *, delta: bool = True) -> None:
        self._folder, self._schema, self._low_cardinality, self._delta = folder, schema, low_cardinality, delta
        self._writer: pq.ParquetWriter | None = None
        self._path = folder
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = self._rows = 0
        self.files: list[LocalFile] = []

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows. They are written to disk one row group at a time."""
        heartbeat.beat()
        # Split the batch so that each group is full; otherwise many small groups would follow.
        while batch.num_rows:
            part = batch.slice(0, ROWS_A_GROUP - self._waiting_rows)
            batch = batch.slice(part.num_rows)
            self._waiting.append(part)
            self._waiting_rows += part.num_rows
            self._waiting_bytes += part.nbytes
            if self._waiting_rows == ROWS_A_GROUP or self._waiting_bytes >= BYTES_A_GROUP:
                self._flush()

    def close(self) -> tuple[LocalFile, ...]:
        """Finish the last file and return all files; none if there was no row."""
        if self._waiting_rows:
            self._flush()
        self._end_file()
        return tuple(self.files)

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._waiting, self._schema)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        if self._writer is None:
            make_folder(self._folder)
            self._path = self._folder / f"part-{len(self.files):05d}.parquet"
            self._writer = pq.ParquetWriter(self._path, self._schema, **self._options(table))
        self._writer.write_table(table, row_group_size=ROWS_A_GROUP)
        reached(Point.EXTRACTING, self._folder.name)
        self._rows += table.num_rows
        if self._path.stat().st_size >= BYTES_A_FILE:
            self._end_file()

    def _options(self, first: pa.Table) -> dict[str, Any]:
        """Return the options of a file that begins with these rows. A dictionary of values that differ costs time."""
        sample = first.slice(0, SAMPLE_ROWS)
        repeated = [name for name in self._low_cardinality if 2 * _distinct(sample[name]) <= sample.num_rows]
        timestamps = [field.name for field in self._schema if pa.types.is_timestamp(field.type)]
        texts = [field.name for field in self._schema if pa.types.is_string(field.type) and field.name not in repeated]
        # Storing lengths apart from the text cuts zstd's time for UUIDs by a third, and saves space.
        encodings = dict.fromkeys(timestamps, "DELTA_BINARY_PACKED") | dict.fromkeys(texts, "DELTA_LENGTH_BYTE_ARRAY")
        return {
            "compression": "zstd",
            "compression_level": 1,
            "use_dictionary": repeated,
            "column_encoding": (self._delta and encodings) or None,
            # Statistics of other columns cost time, and no reader here filters by them.
            "write_statistics": timestamps,
        }

    def _end_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self.files.append(LocalFile(self._path, self._rows))
            self._writer, self._rows = None, 0


def _distinct(values: pa.ChunkedArray) -> int:
    return int(call("count_distinct", values).as_py())


def empty_parquet(folder: Path, schema: pa.Schema) -> LocalFile:
    """Write a file without rows, so that an empty table has a window that removes its rows.

    Raises:
        StageUnwritable: the file cannot be written.
    """
    path = folder / "part-00000.parquet"
    with writing(folder):
        make_folder(folder)
        pq.write_table(schema.empty_table(), path)
    return LocalFile(path, 0)


class NdjsonFile:
    """Write one JSON value per line, compressed. The file is created with the first line."""

    _BYTES_A_WRITE = 256 << 10
    """How many bytes to compress at a time. Compression runs on a thread of its own."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, 0
        self._stream = path.parent.name
        self._file: gzip.GzipFile | None = None
        self._waiting = bytearray()
        self._compressing = ThreadPoolExecutor(1, "compressing")
        self._under_way: Future[None] | None = None

    @property
    def size(self) -> int:
        """Bytes of the file that are on disk."""
        return self.path.stat().st_size if self._file else 0

    def write(self, line: bytes) -> None:
        """Add a line, given without its end."""
        self._waiting += line
        self._waiting += b"\n"
        self.rows += 1
        self._compress_if_enough()

    def write_lines(self, lines: Sequence[bytes]) -> None:
        """Add lines, given without their ends."""
        if lines:
            self._waiting += b"\n".join(lines)
            self._waiting += b"\n"
        self.rows += len(lines)
        self._compress_if_enough()

    def _compress_if_enough(self) -> None:
        if len(self._waiting) >= self._BYTES_A_WRITE:
            self._settle()
            self._under_way = self._compressing.submit(self._compress, self._waiting)
            self._waiting = bytearray()

    def close(self) -> LocalFile | None:
        """Finish the file and return it; None if no line was written."""
        try:
            self._settle()
            if self._waiting:
                self._compress(self._waiting)
                self._waiting = bytearray()
        finally:
            self._compressing.shutdown()
            if self._file:
                self._file.close()
        return LocalFile(self.path, self.rows) if self._file else None

    def _settle(self) -> None:
        """Wait for the write in progress, and raise its error."""
        heartbeat.beat()
        under_way, self._under_way = self._under_way, None
        if under_way:
            under_way.result()

    def _compress(self, lines: bytearray) -> None:
        if self._file is None:
            make_folder(self.path.parent)
            # ISA-L writes the same format as zlib, and about the same size at this level, in a quarter of the time.
            self._file = igzip.IGzipFile(self.path, "wb", compresslevel=1)
        self._file.write(lines)
        reached(Point.EXTRACTING, self._stream)

    def __enter__(self) -> "NdjsonFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class NdjsonParts:
    """Write lines into part-00000.ndjson.gz, part-00001.ndjson.gz, … of a size that loads well."""

    _ROWS_BETWEEN_LOOKS = 1000

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[LocalFile] = []
        self._file = self._next()

    def write(self, line: bytes) -> None:
        """Add a line, given without its end."""
        self._file.write(line)
        if self._file.rows % self._ROWS_BETWEEN_LOOKS == 0:
            self._start_next_if_full()

    def write_lines(self, lines: Sequence[bytes]) -> None:
        """Add lines, given without their ends."""
        self._file.write_lines(lines)
        self._start_next_if_full()

    def _start_next_if_full(self) -> None:
        if self._file.size >= BYTES_A_FILE:
            self._end_file()
            self._file = self._next()

    def close(self) -> tuple[LocalFile, ...]:
        """Finish the last file and return all files; none if there was no line."""
        self._end_file()
        return tuple(self._files)

    def __enter__(self) -> "NdjsonParts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _next(self) -> NdjsonFile:
        return NdjsonFile(self._folder / f"part-{len(self._files):05d}.ndjson.gz")

    def _end_file(self) -> None:
        if file := self._file.close():
            self._files.append(file)


@dataclass(frozen=True)
class Reject:
    """A source row that cannot be converted exactly."""

    key: str
    reason: str
    row: str
    """The row as the source prints it: JSON, or base64 of a document's BSON."""

    @property
    def line(self) -> bytes:
        """A line of rejects.ndjson.gz."""
        return orjson.dumps({"key": self.key, "reason": self.reason, "row": self.row})


def write_rejects(folder: Path, rejects: Iterable[Reject]) -> LocalFile | None:
    """Write rejects.ndjson.gz as the rows come and return it; None if there is no row."""
    with NdjsonFile(folder / REJECTS) as file:
        for reject in rejects:
            file.write(reject.line)
        return file.close()
