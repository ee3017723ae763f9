"""Staged windows -> raw tables: every row once, because rows and ledger entries commit together."""

import hashlib
from datetime import datetime

import duckdb
import pyarrow as pa
from duckdb import DuckDBPyConnection

from adventure.errors import StageDamaged
from adventure.stage.folder import FolderStage
from adventure.stage.manifest import StagedFile, Window, utc_now
from adventure.streams import Stream
from adventure.warehouse import Done
from adventure.warehouse.decisions import FILES_TO_LOAD, WINDOWS_TO_REMOVE, StagedRow, staged_files
from adventure.warehouse.duckdb.connection import quoted, transaction
from adventure.warehouse.duckdb.tables import LOAD_COLUMNS, fit_table, raw_table

LARGEST_DOCUMENT = 64 * 1024 * 1024
"""Bytes. MongoDB's limit is 16 MB of BSON, and its JSON can be a few times that."""

_STAGED_FILES = pa.schema(
    {"stage": pa.string(), "window_id": pa.string(), "file": pa.string(), "row_count": pa.int64()}
)


def load_windows(connection: DuckDBPyConnection, stage: FolderStage, stream: Stream) -> Done | None:
    """Loads each staged file of the stream that the ledger does not hold, oldest window first; None if there is none.

    Raises:
        StageDamaged: files or a window.json are not what was staged; the other windows are loaded.
        SchemaDrift: a column no longer fits; neither that window nor a later one is loaded.
    """
    windows = stage.windows(stream.stage)
    wanted = set(_decide(connection, FILES_TO_LOAD, windows))
    damages = stage.damaged(stream.stage)
    rows, rejected, loaded = 0, 0, 0
    for window in windows:
        files = [file for file in window.all_files if (window.id, file.name) in wanted]
        if not files:
            continue
        try:
            _load_window(connection, stage, stream, window, files)
        except StageDamaged as error:
            damages.append(error)
            continue
        rows += sum(file.rows for file in files if file != window.rejects)
        rejected += sum(file.rows for file in files if file == window.rejects)
        loaded += len(files)
    if damages:
        raise _all_of(stream, damages)
    if not loaded:
        return None
    return Done(rows, loaded, f"{rejected:,} rows were rejected" if rejected else "")


def loaded_windows(connection: DuckDBPyConnection, stage: FolderStage, stream: Stream) -> list[Window]:
    """The staged windows of which the ledger holds every row: those that a cleanup may remove."""
    windows = stage.windows(stream.stage)
    whole = {window_id for (window_id,) in _decide(connection, WINDOWS_TO_REMOVE, windows)}
    return [window for window in windows if window.id in whole]


def _decide(connection: DuckDBPyConnection, decision: str, windows: list[Window]) -> list[tuple[str, ...]]:
    rows = [row._asdict() for row in staged_files(windows)]
    connection.register("staged_files", pa.Table.from_pylist(rows, schema=_STAGED_FILES))
    found: list[tuple[str, ...]] = connection.execute(decision).fetchall()
    connection.unregister("staged_files")
    return found


def _load_window(
    connection: DuckDBPyConnection, stage: FolderStage, stream: Stream, window: Window, files: list[StagedFile]
) -> None:
    """All of it in one transaction."""
    for file in files:
        _verify(stage, stream, window, file)
    with transaction(connection):
        types = fit_table(connection, stream, window)
        loaded_at = _next_loaded_at(connection)
        for file in files:
            is_rejects = file == window.rejects
            try:
                if is_rejects:
                    count = _insert_rejects(connection, stage, stream, window, file, loaded_at)
                else:
                    count = _insert_rows(connection, stage, stream, window, file, types, loaded_at)
            except (duckdb.InvalidInputException, duckdb.BinderException, duckdb.ConversionException) as error:
                reason = str(error).strip().splitlines()[0]
                raise _damage(stage, stream, window, file, f"cannot be read: {reason}") from error
            if count != file.rows:
                raise _damage(stage, stream, window, file, f"holds {count:,} rows instead of {file.rows:,}")
            _insert_ledger(connection, stream, window, file, is_rejects, loaded_at)


def _verify(stage: FolderStage, stream: Stream, window: Window, file: StagedFile) -> None:
    """Raises StageDamaged unless the file is, byte for byte, what window.json promises."""
    path = stage.path(window, file.name)
    try:
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise _damage(stage, stream, window, file, f"cannot be read: {error.strerror}") from error
    if digest != file.sha256:
        raise _damage(
            stage,
            stream,
            window,
            file,
            f"was changed after it was staged ({path.stat().st_size:,} bytes, promised {file.bytes:,}; the sha256 differs)",
        )


def _next_loaded_at(connection: DuckDBPyConnection) -> datetime:
    """Now, or just after the latest load: models that take what is new rely on it that no load is older than another,
    and this machine's clock may be set back."""
    (moment,) = connection.execute(
        "select greatest(?::timestamp, max(loaded_at) + interval 1 microsecond) from raw_ext.load_history", [utc_now()]
    ).fetchall()[0]
    assert isinstance(moment, datetime)
    return moment


def _insert_rows(
    connection: DuckDBPyConnection,
    stage: FolderStage,
    stream: Stream,
    window: Window,
    file: StagedFile,
    types: dict[str, str],
    loaded_at: datetime,
) -> int:
    names = ", ".join(quoted(column) for column in (*types, *LOAD_COLUMNS))
    if ".ndjson" in file.name:
        # The document's own text, not parsed and printed anew: no digit changes.
        values, row = "json", "row_number() over ()"
        source = f"read_ndjson_objects(?, maximum_object_size => {LARGEST_DOCUMENT})"
    else:
        values, row = ", ".join(f"cast({quoted(column)} as {kind})" for column, kind in types.items()), "file_row_number + 1"
        source = "read_parquet(?)"
    return _count(
        connection,
        f"insert into {raw_table(stream)} ({names}) select {values}, ?, {row}, ? from {source}",
        [_staged_name(window, file), loaded_at, str(stage.path(window, file.name))],
    )


def _insert_rejects(
    connection: DuckDBPyConnection,
    stage: FolderStage,
    stream: Stream,
    window: Window,
    file: StagedFile,
    loaded_at: datetime,
) -> int:
    return _count(
        connection,
        f"""
        insert into raw_ext.rejected_rows
            (stream, key, reason, source_row, rejected_at, _file, _file_row, _loaded_at)
        select ?, json ->> '$.key', json ->> '$.reason', json ->> '$.row', ?, ?, row_number() over (), ?
        from read_ndjson_objects(?, maximum_object_size => {LARGEST_DOCUMENT})
        """,
        [stream.name, window.staged_at, _staged_name(window, file), loaded_at, str(stage.path(window, file.name))],
    )


def _insert_ledger(
    connection: DuckDBPyConnection,
    stream: Stream,
    window: Window,
    file: StagedFile,
    is_rejects: bool,
    loaded_at: datetime,
) -> None:
    connection.execute(
        """
        insert into raw_ext.load_history
            (stream, stage, window_id, file, rows_loaded, rows_rejected, bytes, sha256, low, high, run_id,
            staged_at, loaded_at)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        [
            stream.name,
            window.stage,
            window.id,
            file.name,
            0 if is_rejects else file.rows,
            file.rows if is_rejects else 0,
            file.bytes,
            file.sha256,
            window.low,
            window.high,
            window.run_id,
            window.staged_at,
            loaded_at,
        ],
    )


def _count(connection: DuckDBPyConnection, insert: str, parameters: list[object]) -> int:
    (count,) = connection.execute(insert, parameters).fetchall()[0]
    return int(count)


def _staged_name(window: Window, file: StagedFile) -> str:
    return f"{window.stage}/{window.id}/{file.name}"


def _damage(stage: FolderStage, stream: Stream, window: Window, file: StagedFile, problem: str) -> StageDamaged:
    path = stage.path(window, file.name)
    return StageDamaged(
        f"{stream.name}: {path} {problem}. Nothing of its window was loaded",
        f"Put the file back as it was; or remove the folder {path.parent} and set the stream's watermark in"
        f" processor_metadata back to {window.low or 'null'}, so that its rows are read again",
    )


def _all_of(stream: Stream, damages: list[StageDamaged]) -> StageDamaged:
    if len(damages) == 1:
        return damages[0]
    first = damages[0]
    return StageDamaged(f"{stream.name}: {len(damages)} windows are damaged; the first: {first.problem}", first.remedy)
