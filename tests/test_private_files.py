"""Files with customers' data are readable by their owner only, whatever the umask."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adventure.core import heartbeat
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.run import backfill
from adventure.demo.history.synthesis import synthesise
from adventure.destinations.common import build, dbt_command
from adventure.destinations.common.selection import LoadedTables
from adventure.destinations.duckdb import load, publish
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.run import process_once
from adventure.reconcile.run import reconcile
from adventure.tasks.server import serve


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """Return the folder and the files and folders below it that other users can read, write or enter."""
    found = [path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]
    return [f"{path.relative_to(folder.parent)} {path.stat().st_mode & 0o777:o}" for path in found]


def test_files_of_a_pass_are_private(
    settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    backfill(writer_settings, orders=20, days=2, seed=1)
    with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as connection:
        connection.execute("update orders set due_date = 'infinity' where status = (select min(status) from orders)")
    process_once(settings, streams)
    stage = FolderStage(settings.stage_dir)
    assert any(window.rejects for window in stage.windows("orders_stage"))
    assert open_to_others(settings.data_dir) == []

    warehouse = DuckDBWarehouse(settings)
    seen: list[str] = []
    # An open load has a write-ahead log, and a report being written has an unfinished file.
    recorded, filled = load._record, publish.fill
    monkeypatch.setattr(load, "_record", lambda *of: (recorded(*of), seen.extend(open_to_others(settings.data_dir))))
    for stream in streams:
        warehouse.load(stream)
    monkeypatch.setattr(
        "adventure.destinations.duckdb.report.fill",
        lambda *of: (filled(*of), seen.extend(open_to_others(settings.data_dir)))[0],
    )
    warehouse.publish_report(streams, interval=None)
    reconcile(settings, streams)
    assert seen == []
    assert settings.report_path.exists()
    assert open_to_others(settings.data_dir) == []


def test_files_of_heartbeat_and_task_server_are_private(settings: Settings) -> None:
    stop = threading.Event()
    stop.set()
    try:
        heartbeat.begin(settings.data_dir / "beats" / "tasks", 60)
        serve(settings, (), interval=1, stop=stop)
        heartbeat.end()
        assert (settings.data_dir / "beats" / "tasks").exists()
        assert open_to_others(settings.data_dir) == []
    finally:
        heartbeat.begin(None, 1)


def test_logs_of_a_build_are_private(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Manifest:
        @staticmethod
        def to_msgpack(encoder: Callable[[Any], bytes]) -> bytes:
            return encoder({})

    class Done:
        success, exception, result = True, None, Manifest

    def write_log(_arguments: list[str], _manifest: object = None) -> Done:
        (settings.data_dir / "dbt" / "logs").mkdir()
        (settings.data_dir / "dbt" / "logs" / "dbt.log").write_text("select")
        target = settings.data_dir / "dbt" / "target"
        target.mkdir()
        (target / "manifest.json").write_text('{"nodes": {}, "sources": {}, "child_map": {}, "parent_map": {}}')
        return Done()

    monkeypatch.setattr(dbt_command, "invoke", write_log)
    tables = LoadedTables(frozenset(), frozenset())
    build.run_dbt_build(settings, "whole", tables, target="none", environment={})
    assert open_to_others(settings.data_dir) == []


def test_files_of_a_history_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "adventure.demo.history.synthesis._write_files",
        lambda folder, _seed: (folder / "orders.csv.gz").write_bytes(b""),
    )
    synthesise(tmp_path / "data" / "history", seed=1)
    assert open_to_others(tmp_path / "data") == []


def test_files_of_earlier_versions_become_private(settings: Settings, streams: tuple[Stream, ...]) -> None:
    DuckDBWarehouse(settings)
    settings.duckdb_path.chmod(0o644)
    (settings.stage_dir / "orders_stage").mkdir(parents=True)
    settings.stage_dir.chmod(0o755)
    DuckDBWarehouse(settings)
    FolderStage(settings.stage_dir).check_writable("orders_stage")
    assert [path.stat().st_mode & 0o077 for path in (settings.duckdb_path, settings.stage_dir)] == [0, 0]
