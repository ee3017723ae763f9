"""A warehouse file that cannot be used is one sentence with its remedy, and the task server goes on without it."""

import os
import re
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError, WarehouseBusy, WarehouseError
from adventure.core.settings import Settings
from adventure.destinations.duckdb import connection
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.results import LoadResult
from adventure.tasks import graph
from adventure.tasks.server import serve
from tests.warehouse.conftest import STREAM

RESTORE = "Restore it from a backup"


def newer(path: Path) -> None:
    """As a later version of DuckDB writes it: another number in its header, and the header's checksum with it."""
    content = bytearray(path.read_bytes())
    content[12:20] = struct.pack("<Q", 1200)
    path.write_bytes(content)
    with pytest.raises(duckdb.Error) as caught:
        duckdb.connect(str(path))
    checksum = re.search(r"computed checksum (\d+)", str(caught.value))
    assert checksum is not None
    content[:8] = struct.pack("<Q", int(checksum[1]))
    path.write_bytes(content)


def flip(offset: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[offset] ^= 0xFF
        path.write_bytes(content)

    return damage


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no database": (lambda path: path.write_bytes(b"no database" * 1000), RESTORE),
    "empty": (lambda path: path.write_bytes(b""), RESTORE),
    "cut": (lambda path: os.truncate(path, path.stat().st_size // 2), RESTORE),
    "a flipped byte in its header": (flip(4096 + 20), RESTORE),
    "a flipped byte in its first block": (flip(12288 + 100), RESTORE),
    "a folder": (folder_instead, RESTORE),
    "newer": (newer, "Use the version of Adventure that wrote it, or a newer one"),
}


@pytest.mark.parametrize(("damage", "remedy"), DAMAGES.values(), ids=DAMAGES)
def test_a_file_that_cannot_be_used_is_one_sentence(
    settings: Settings, damage: Callable[[Path], None], remedy: str
) -> None:
    DuckDBWarehouse(settings)
    damage(settings.duckdb_path)
    with pytest.raises(WarehouseError, match=r"warehouse\.duckdb cannot be opened: ") as caught:
        DuckDBWarehouse(settings)
    assert remedy in caught.value.remedy
    assert "\n" not in str(caught.value)


_WITH_FEW_FILES = """
import os, resource, sys
from pathlib import Path
from adventure.core.errors import WarehouseError
from adventure.core.environment import load_settings
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
warehouse = DuckDBWarehouse(load_settings(data_dir=Path(sys.argv[1])))
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (os.open(os.devnull, os.O_RDONLY) + int(sys.argv[2]), hard))
try:
    warehouse.execute("create table kept as select 1")
except WarehouseError as error:
    print(error)
"""


@pytest.mark.parametrize("spare", [1, 3])
def test_too_many_open_files_is_no_damage(settings: Settings, spare: int) -> None:
    """A restored backup would not help. With 1, the lock cannot be opened; with 3, DuckDB's log. With 2, it aborts."""
    command = [sys.executable, "-c", _WITH_FEW_FILES, str(settings.data_dir), str(spare)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Too many open files" in printed
    assert "ulimit -n" in printed


@contextmanager
def held(path: Path) -> Iterator[int]:
    """Another program has the file open; its process."""
    script = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield holder.pid
    finally:
        holder.kill()
        holder.wait()


def test_who_holds_the_file_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    DuckDBWarehouse(settings)
    monkeypatch.setattr(connection, "RETRY_FOR_SEC", 0.2)
    with held(settings.duckdb_path) as pid, pytest.raises(WarehouseBusy, match=rf"python.* \(process {pid}\)"):
        DuckDBWarehouse(settings)


def test_who_holds_our_lock_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    DuckDBWarehouse(settings)
    monkeypatch.setattr(connection, "RETRY_FOR_SEC", 0.2)
    with (
        held(settings.duckdb_path) as pid,
        connection.file_lock(settings.duckdb_path),
        pytest.raises(WarehouseBusy, match=rf"python.* \(process {pid}\)"),
    ):
        in_thread(lambda: DuckDBWarehouse(settings))


def in_thread(job: Callable[[], object]) -> None:
    """Run a job with locks of its own, and raise here what it raises there."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


@pytest.fixture
def rounds(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], bool]], None]]:
    """Runs the task server until a condition holds; it must live until then."""
    monkeypatch.setattr(graph, "_build", lambda *_: (LoadResult(), "nothing"))
    monkeypatch.setattr(graph, "_publish", lambda *_: (LoadResult(), ""))
    monkeypatch.setattr(connection, "RETRY_FOR_SEC", 0.2)
    stop = threading.Event()
    made = settings.model_copy(update={"reconcile_interval_sec": 0})
    server = threading.Thread(target=serve, args=[made, (STREAM,)], kwargs={"interval": 0.02, "stop": stop})

    def until(condition: Callable[[], bool]) -> None:
        if not server.is_alive():
            server.start()
        while not condition():
            assert server.is_alive()
            stop.wait(0.02)

    yield until
    stop.set()
    server.join()


def has_run(settings: Settings, *tasks: str) -> bool:
    try:
        return {run.name for run in DuckDBWarehouse(settings).last_runs()} >= set(tasks or ("load_things",))
    except WarehouseError:
        return False


def test_the_task_server_lives_until_the_file_is_restored(
    settings: Settings, rounds: Callable[[Callable[[], bool]], None], capfd: pytest.CaptureFixture[str]
) -> None:
    DuckDBWarehouse(settings)
    backup = settings.data_dir / "backup"
    shutil.copy(settings.duckdb_path, backup)
    settings.duckdb_path.write_bytes(b"no database" * 1000)
    told: list[str] = []

    def is_told() -> bool:
        told.append("".join(capfd.readouterr()))
        return "".join(told).count("cannot be opened") >= 2

    rounds(is_told)
    backup.replace(settings.duckdb_path)
    rounds(lambda: has_run(settings))


def test_the_task_server_lives_while_another_program_holds_the_file(
    settings: Settings, rounds: Callable[[Callable[[], bool]], None], capfd: pytest.CaptureFixture[str]
) -> None:
    DuckDBWarehouse(settings)
    with held(settings.duckdb_path) as pid:
        rounds(lambda: f"(process {pid})" in "".join(capfd.readouterr()))
    rounds(lambda: has_run(settings))


def test_a_bug_in_one_task_does_not_end_the_server(
    settings: Settings, rounds: Callable[[Callable[[], bool]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> LoadResult:
        raise KeyError("uint8")

    monkeypatch.setattr(DuckDBWarehouse, "load", fail)

    rounds(lambda: has_run(settings, "load_things", "cleanup_things"))
    monkeypatch.setattr(connection, "RETRY_FOR_SEC", 60.0)
    (run,) = [run for run in DuckDBWarehouse(settings).last_runs() if run.name == "load_things"]
    assert (run.outcome, run.message) == (
        "failed",
        "Unexpected KeyError: 'uint8'. This is a bug in Adventure; please report it.",
    )


@pytest.mark.parametrize("name", ["a?b", "a*b", "a[b]", "a\\b"])
def test_a_data_dir_that_is_a_pattern_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"DATA_DIR: the path .* contains .*; choose a folder without"):
        load_settings(data_dir=tmp_path / name)


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_data_dir_that_cannot_be_made_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    settings = load_settings(data_dir=tmp_path / name)
    with pytest.raises(ConfigError, match=f"DATA_DIR .*{name} cannot be used: Not a directory. Set DATA_DIR to"):
        serve(settings, (STREAM,), interval=1, stop=threading.Event())
    with pytest.raises(WarehouseError, match=f"folder .*{name} cannot be written: Not a directory"):
        DuckDBWarehouse(settings)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_dir_without_permission_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    settings = load_settings(data_dir=tmp_path / "data")
    with pytest.raises(ConfigError, match="cannot be used: Permission denied"):
        serve(settings, (STREAM,), interval=1, stop=threading.Event())
