"""Find and read the files of a history.

Each raw table has one file or one folder of files, named after it: NDJSON, a JSON array, CSV or Parquet. Text may be
gzipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import duckdb
import pyarrow as pa
from isal import igzip

from adventure.core.errors import ConfigError
from adventure.destinations.common.staged_files import LARGEST_DOCUMENT

Format = Literal["ndjson", "json", "csv", "parquet"]

_FORMATS: dict[str, Format] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
}
_BLOCK = 4_000_000
"""Bytes of NDJSON that are split into lines at a time."""
_BLANKS = " \t\r\v\f"
_FAULTS_SHOWN = 3


@dataclass(frozen=True)
class DataFile:
    """A file of a raw table."""

    path: Path
    label: str
    """Its path below the loaded folder, for messages and the column `_file`."""
    format: Format


def find_files(folder: Path, table: str) -> list[DataFile]:
    """Return the file named after the table, or all files of the folder named after it; an empty list without either.

    Raises:
        ConfigError: several entries are named after the table, or a file has an unknown format.
    """
    named = sorted(entry for entry in folder.iterdir() if entry.name.lower().partition(".")[0] == table)
    if len(named) > 1:
        names = " and ".join(entry.name for entry in named)
        raise ConfigError(f"{folder} holds {table} more than once: {names}", "Keep only one of them")
    if named and named[0].is_dir():
        # Skip files of other programs, such as _SUCCESS and .DS_Store.
        named = sorted(path for path in named[0].iterdir() if path.is_file() and path.name[0] not in "._")
    return [DataFile(path, str(path.relative_to(folder)), _format(path)) for path in named]


def read_file(connection: duckdb.DuckDBPyConnection, file: DataFile) -> list[str]:
    """Read the file into the temporary table `incoming` and return the names of its columns.

    The column `_position` counts the rows from 0. Documents become text in the single column `document`, even those
    that do not parse. The columns of a CSV file are text too; an empty field is NULL.

    Raises:
        ConfigError: the file is damaged; the message names the file and the line.
    """
    try:
        if file.format == "ndjson" or (file.format == "json" and not _is_array(file.path)):
            # DuckDB's own JSON readers fail at a line that does not parse, or skip it.
            lines = pa.RecordBatchReader.from_batches(_LINES, _batches(file.path))
            connection.register("incoming_lines", lines)
            connection.execute("create or replace temp table incoming as select * from incoming_lines")
            connection.unregister("incoming_lines")
        else:
            connection.execute(f"create or replace temp table incoming as {_SELECT[file.format]}", [str(file.path)])
            if file.format == "csv":
                _refuse_broken_rows(connection, file)
    except (duckdb.Error, OSError, EOFError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"{file.label} cannot be read: {reason}", "Fix or replace the file; nothing was loaded"
        ) from error
    columns = connection.execute("select column_name from (describe incoming) where column_name <> '_position'")
    return [str(name) for (name,) in columns.fetchall()]


_LINES = pa.schema([("_position", pa.int64()), ("document", pa.string())])
# Without `hive_partitioning`, a folder named like a column (`id=7`) above the file would replace its values.
_SELECT = {
    "json": "select row_number() over () - 1 as _position, cast(json as varchar) as document"
    f" from read_json_objects(?, format = 'array', maximum_object_size = {LARGEST_DOCUMENT})",
    "csv": "select row_number() over () - 1 as _position, * from read_csv(?, header = true, all_varchar = true,"
    " delim = ',', quote = '\"', escape = '\"', store_rejects = true, hive_partitioning = false)",
    "parquet": "select file_row_number as _position, * exclude (file_row_number)"
    " from read_parquet(?, file_row_number = true, hive_partitioning = false)",
}


def _format(path: Path) -> Format:
    name = path.name.lower()
    for ending, kind in _FORMATS.items():
        if name.endswith(ending) or (name.endswith(f"{ending}.gz") and kind != "parquet"):
            return kind
    raise ConfigError(
        f"{path} has an unknown file format",
        f"Rename it to end in {', '.join(_FORMATS)}, with .gz after it for gzipped text",
    )


def _refuse_broken_rows(connection: duckdb.DuckDBPyConnection, file: DataFile) -> None:
    """Raise ConfigError for rows with too many or too few fields, or with bytes that are not UTF-8."""
    faults = connection.execute("select distinct line, error_message from reject_errors order by line").fetchall()
    connection.execute("drop table reject_errors; drop table reject_scans")
    if faults:
        shown = "; ".join(f"line {line}: {' '.join(message.split())}" for line, message in faults[:_FAULTS_SHOWN])
        raise ConfigError(
            f"{file.label} has {len(faults)} rows that do not parse: {shown}", "Fix those lines; nothing was loaded"
        )


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the lines that are not blank, with their positions; the split of a whole block takes no time a line."""
    position, rest = 0, b""
    with _open(path) as content:
        while block := content.read(_BLOCK):
            whole, newline, rest = (rest + block).rpartition(b"\n")
            if newline:
                yield _batch(whole, position)
                position += whole.count(b"\n") + 1
    yield _batch(rest, position)


def _batch(block: bytes, position: int) -> pa.RecordBatch:
    """Return the lines of the block, of which the first has that position. Bytes that are not UTF-8 become escapes."""
    lines = block.decode(errors="backslashreplace").split("\n")
    positions = [number for number, line in enumerate(lines, position) if line.strip(_BLANKS)]
    return pa.record_batch([positions, [lines[number - position].rstrip("\r") for number in positions]], schema=_LINES)


def _is_array(path: Path) -> bool:
    with _open(path) as content:
        return content.read(1024).lstrip().startswith(b"[")


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, igzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")
