"""A warehouse of a test's own, and windows staged for it as a processor would."""

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adventure.core.environment import load_settings
from adventure.core.manifest import Column, StagedFile, Window
from adventure.core.settings import Settings
from adventure.core.stage import Stage
from adventure.core.streams import Stream
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse

T0 = datetime(2026, 1, 2, 3, 4, 5, 678901)
STREAM = Stream("things", "postgres", "public", "things", "changed_at", ("id",), "things_stage", "raw_ext.things_raw")
CHATS = replace(STREAM, name="chats", source="mongo", stage="chats_stage", raw_table="raw_ext.chat_logs_raw")

Stager = Callable[..., Window]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path)


@pytest.fixture
def stage(settings: Settings) -> FolderStage:
    return FolderStage(settings.stage_dir)


@pytest.fixture
def warehouse(settings: Settings) -> DuckDBWarehouse:
    return DuckDBWarehouse(settings)


def _staged(path: Path, rows: int) -> StagedFile:
    content = path.read_bytes()
    return StagedFile(path.name, rows, len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture
def put(stage: Stage, tmp_path: Path) -> Stager:
    """Stages a window of rows, as a processor would; `commit=False` leaves window.json out; `promised` rows stand there."""
    numbers = iter(range(1, 1000))

    def stage_rows(
        rows: pa.Table | list[bytes] | None,
        *,
        stream: Stream = STREAM,
        rejects: list[dict[str, str]] | None = None,
        deletes: list[dict[str, Any]] | None = None,
        promised: int | None = None,
        commit: bool = True,
    ) -> Window:
        number = next(numbers)
        folder = tmp_path / f"files-{number}"
        folder.mkdir()
        path: Path | None = None
        columns: tuple[Column, ...] = ()
        if isinstance(rows, pa.Table):
            path, columns = folder / "part-00000.parquet", tuple(Column(f.name, str(f.type)) for f in rows.schema)
            pq.write_table(rows, path)
        elif rows is not None:
            path, columns = folder / "part-00000.ndjson.gz", (Column("raw", "json"),)
            path.write_bytes(gzip.compress(b"".join(row + b"\n" for row in rows)))
        beside: dict[str, StagedFile] = {}
        for name, lines in (("rejects", rejects), ("deletes", deletes)):
            if lines:
                beside_path = folder / f"{name}.ndjson.gz"
                beside_path.write_bytes(gzip.compress(b"".join(orjson.dumps(row) + b"\n" for row in lines)))
                beside[name] = _staged(beside_path, len(lines))
        high = T0 + timedelta(seconds=number)
        promise = (_staged(path, len(rows or ()) if promised is None else promised),) if path else ()
        window = Window(
            stream.name,
            stream.stage,
            T0,
            high,
            f"{number:08x}",
            promise,
            beside.get("rejects"),
            columns,
            high,
            high,
            "horizon",
            beside.get("deletes"),
        )
        for file in sorted(folder.iterdir()):
            stage.put(stream.stage, window.id, file)
        if commit:
            stage.commit(window)
            stage.announce(stream.stage)
        return window

    return stage_rows


def things(*ids: int, **columns: Any) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.int32()), **columns})
