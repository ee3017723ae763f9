"""Test the comparison by PostgreSQL's log without installing any tool: the run, and what counts as a tool's copy."""

import gzip
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from benchmarks.peers import by_log
from benchmarks.peers.log_tools import ADVENTURE, RIVET
from benchmarks.peers.tools import Job, Tool


def _broken(job: Job) -> list[list[str]]:
    return [["/bin/sh", "-c", "echo 'no slot | here' >&2; exit 3"]]


@pytest.mark.slow
def test_adventure_reads_every_change_of_the_comparison(tmp_path: Path) -> None:
    tools = (replace(ADVENTURE, pins=None), Tool("broken", _broken, lambda folder, table: ""))
    entries, server = by_log.run_all(2000, 2, None, tmp_path, tmp_path, tools)
    *ours, broken = entries
    for entry in ours:
        assert (entry.contender.failure, entry.contender.faults, entry.long_text) == ("", [], "read")
        assert (len(entry.many), len(entry.few)) == (2, 2)
        assert entry.contender.memory_mb > 10
    assert broken.contender.failure == "exit code 3: no slot | here"
    text = by_log.table(entries, 2000, server)
    assert f"from PostgreSQL {server}. Medians of 2 rounds." in text
    assert text.count("| yes | read |") == len(ours) == 2
    assert text.splitlines()[-1] == r"| broken | this one | skipped: exit code 3: no slot \| here | | | | | |"


def _write(path: Path, rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(f"copy ({rows}) to '{path}' (format parquet)")


def _read(tool: Tool, folder: Path) -> list[tuple[int, str]]:
    return duckdb.sql(f"select id, name from ({tool.rows(folder, 'items')}) order by id").fetchall()


def test_a_row_of_adventure_is_its_last_version_unless_it_was_deleted(tmp_path: Path) -> None:
    stage = tmp_path / "data" / "stages" / "items_stage"
    _write(stage / "20260102T0Z-bb" / "part-00000.parquet", "from (values (1, 'new'), (3, 'again')) as t (id, name)")
    _write(
        stage / "20260101T0Z-cc" / "part-00000.parquet",
        "from (values (1, 'old'), (2, 'gone'), (4, 'kept')) as t (id, name)",
    )
    for window, key in (("20260101T0Z-cc", 3), ("20260102T0Z-bb", 2)):
        line = f'{{"key": {{"id": "{key}"}}, "deleted_at": "2026-01-01T00:00:00"}}\n'
        (stage / window / "deletes.ndjson.gz").write_bytes(gzip.compress(line.encode()))
    assert _read(ADVENTURE, tmp_path) == [(1, "new"), (3, "again"), (4, "kept")]


def test_a_row_of_rivet_is_its_last_version_unless_it_was_deleted(tmp_path: Path) -> None:
    _write(tmp_path / "items" / "snapshot" / "a.parquet", "from (values (1, 'first'), (5, 'kept')) as t (id, name)")
    changes = [
        ("insert", "0/F", 0, 2, "inserted"),
        # Later, though it is the lower text.
        ("update", "0/10", 0, 2, "second"),
        ("update", "0/10", 1, 2, "third"),
        ("update", "0/FFFFFFFF", 0, 1, "old"),
        ("update", "1/0", 0, 1, "new"),
        ("insert", "1/0", 1, 3, "short-lived"),
        ("delete", "1/0", 2, 3, None),
        ("delete", "1/1", 0, 4, None),
        ("insert", "1/1", 1, 4, "again"),
    ]
    rows = ", ".join(
        f"('{op}', '{{\"lsn\":\"{lsn}\"}}', {seq}, {key}, {'null' if name is None else repr(name)})"
        for op, lsn, seq, key, name in changes
    )
    _write(tmp_path / "items" / "cdc-b.parquet", f"from (values {rows}) as t (__op, __pos, __seq, id, name)")
    assert _read(RIVET, tmp_path) == [(1, "new"), (2, "third"), (4, "again"), (5, "kept")]
