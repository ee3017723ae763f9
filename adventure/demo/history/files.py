"""The files of a history: which there are for a raw table, and what is in them, without its meaning.

One file or one folder of files per raw table, named after it: NDJSON, a JSON array, CSV or Parquet, gzip or not.
"""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import duckdb
import pyarrow as pa

from adventure.core.errors import ConfigError
from adventure.destinations.duckdb.columns import LARGEST_DOCUMENT

Format = Literal["ndjson", "json", "csv", "parquet"]

_FORMATS: dict[str, Format] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
}
_LINES_AT_A_TIME = 10_000
_FAULTS_SHOWN = 3


@dataclass(frozen=True)
class DataFile:
    """One file of a raw table."""

    path: Path
    label: str
    """As messages and the column `_file` name it: the path below the folder that is loaded."""
    format: Format


def find_files(folder: Path, table: str) -> list[DataFile]:
    """The files for the table: the one that is named after it, or all in the folder that is; none if there is neither.

    Raises:
        ConfigError: there is more than one, or a file of a kind that cannot be read.
    """
    named = sorted(entry for entry in folder.iterdir() if entry.name.lower().partition(".")[0] == table)
    if len(named) > 1:
        names = " and ".join(entry.name for entry in named)
        raise ConfigError(f"{folder} holds {table} more than once: {names}", "Leave one of them there")
    if named and named[0].is_dir():
        # _SUCCESS and .DS_Store are other programs' business.
        named = sorted(path for path in named[0].iterdir() if path.is_file() and path.name[0] not in "._")
    return [DataFile(path, str(path.relative_to(folder)), _format(path)) for path in named]


def read_file(connection: duckdb.DuckDBPyConnection, file: DataFile) -> list[str]:
    """Reads the file into the temporary table `incoming`; the names of its columns.

    `_position` counts the rows from 0. A file of documents has them as text in the one column `document`, one that does
    not parse included; the columns of a CSV file are text as well, an empty field NULL.

    Raises:
        ConfigError: the file is damaged; names it and the line.
    """
    try:
        if file.format == "ndjson" or (file.format == "json" and not _is_array(file.path)):
            # DuckDB's own readers end at a line that does not parse, or leave it out.
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
            f"{file.label} cannot be read: {reason}", "Mend or replace the file; nothing was loaded"
        ) from error
    columns = connection.execute("select column_name from (describe incoming) where column_name <> '_position'")
    return [str(name) for (name,) in columns.fetchall()]


_LINES = pa.schema([("_position", pa.int64()), ("document", pa.string())])
_SELECT = {
    "json": "select row_number() over () - 1 as _position, cast(json as varchar) as document"
    f" from read_json_objects(?, format = 'array', maximum_object_size = {LARGEST_DOCUMENT})",
    "csv": "select row_number() over () - 1 as _position, * from read_csv(?, header = true, all_varchar = true,"
    " delim = ',', quote = '\"', escape = '\"', store_rejects = true)",
    "parquet": "select file_row_number as _position, * exclude (file_row_number)"
    " from read_parquet(?, file_row_number = true)",
}


def _format(path: Path) -> Format:
    name = path.name.lower()
    for ending, kind in _FORMATS.items():
        if name.endswith(ending) or (name.endswith(f"{ending}.gz") and kind != "parquet"):
            return kind
    raise ConfigError(
        f"{path} is no file that can be read",
        f"Its name must end in {', '.join(_FORMATS)}, and .gz for text that is gzipped",
    )


def _refuse_broken_rows(connection: duckdb.DuckDBPyConnection, file: DataFile) -> None:
    """Rows with too many or too few fields, or with bytes that are not UTF-8."""
    faults = connection.execute("select distinct line, error_message from reject_errors order by line").fetchall()
    connection.execute("drop table reject_errors; drop table reject_scans")
    if faults:
        shown = "; ".join(f"line {line}: {' '.join(message.split())}" for line, message in faults[:_FAULTS_SHOWN])
        raise ConfigError(
            f"{file.label} has {len(faults)} rows that do not parse: {shown}", "Mend those lines; nothing was loaded"
        )


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    positions: list[int] = []
    lines: list[str] = []
    with _open(path) as content:
        for position, line in enumerate(content):
            if line.strip():
                positions.append(position)
                lines.append(line.decode(errors="backslashreplace").rstrip("\r\n"))
            if len(lines) == _LINES_AT_A_TIME:
                yield pa.record_batch([positions, lines], schema=_LINES)
                positions, lines = [], []
    yield pa.record_batch([positions, lines], schema=_LINES)


def _is_array(path: Path) -> bool:
    with _open(path) as content:
        return content.read(1024).lstrip().startswith(b"[")


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")
