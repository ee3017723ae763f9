"""Test the heartbeat: a quiet loop is not stuck, a late one is, and a health check is cheap."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from adventure.core import heartbeat
from adventure.core.errors import AlreadyRunning, ConfigError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.processor.run import open_pipeline, process_forever
from tests.waiting import until


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "heartbeat"
    heartbeat.begin(None, 1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A list with the fake monotonic clock as its only element."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_loop_is_alive_while_it_beats_and_stuck_after(file: Path, clock: list[float]) -> None:
    heartbeat.begin(file, 10)
    heartbeat.beat()
    clock[0] += 10
    assert heartbeat.check(file).alive
    clock[0] += 1
    found = heartbeat.check(file)
    assert not found.alive
    assert found.sentence == "Stuck: the last sign of life is 11 s old, 1 s too old"


def test_a_quiet_loop_is_late_only_after_the_announced_time(file: Path, clock: list[float]) -> None:
    heartbeat.begin(file, 10)
    heartbeat.beat(quiet_for=3600)
    clock[0] += 3609
    assert heartbeat.check(file).alive
    clock[0] += 2
    assert not heartbeat.check(file).alive


def test_work_after_a_quiet_time_has_the_shorter_deadline(file: Path, clock: list[float]) -> None:
    heartbeat.begin(file, 10)
    heartbeat.beat(quiet_for=3600)
    clock[0] += 5
    heartbeat.beat()
    clock[0] += 11
    assert not heartbeat.check(file).alive


def test_frequent_beats_write_once_a_second(file: Path, clock: list[float]) -> None:
    heartbeat.begin(file, 10)
    heartbeat.beat()
    first = file.stat().st_ino, file.read_text()
    heartbeat.beat()
    assert (file.stat().st_ino, file.read_text()) == first
    clock[0] += 1
    heartbeat.beat()
    assert file.read_text() != first[1]


def test_without_a_file_nothing_is_written(tmp_path: Path) -> None:
    heartbeat.begin(None, 10)
    heartbeat.beat()
    heartbeat.end()
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_file_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/heartbeat.*HEARTBEAT_FILE"):
        heartbeat.begin(tmp_path / "file" / "heartbeat", 10)


def test_a_failed_beat_counts_as_missed(file: Path, clock: list[float]) -> None:
    heartbeat.begin(file, 10)
    heartbeat.beat()
    file.unlink()
    file.parent.rmdir()
    clock[0] += 5
    heartbeat.beat(quiet_for=1)
    assert not heartbeat.check(file).alive


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        (None, 1, "There is no heartbeat at"),
        ("", 1, "is no heartbeat"),
        ("0 0\n", 1, "Stuck: the last sign of life is"),
        ("0 1e12\n", 0, "Alive: last sign of life"),
        ("0 1e12 1e11\n", 0, "Alive: last sign of life"),
        ("0 1e12 ended\n", 1, "Ended"),
    ],
)
def test_the_health_command_prints_a_sentence_and_sets_the_exit_code(
    tmp_path: Path, content: str | None, code: int, sentence: str
) -> None:
    file = tmp_path / "heartbeat"
    if content is not None:
        file.write_text(content)
    done = subprocess.run(
        [sys.executable, "-m", "adventure", "health"],
        env=os.environ | {"HEARTBEAT_FILE": str(file)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, sentence in done.stdout) == (code, True)


def test_a_heartbeat_has_its_time_and_the_announced_next_beat(file: Path, clock: list[float]) -> None:
    """The heartbeat uses the file's modification time, since the monotonic clock restarts with the machine."""
    heartbeat.begin(file, 10)
    clock[0] += 5
    heartbeat.beat(quiet_for=60)
    os.utime(file, (0, 0))
    epoch = datetime(1970, 1, 1)
    assert heartbeat.read(file) == heartbeat.Heartbeat(
        epoch, epoch + timedelta(seconds=60), epoch + timedelta(seconds=70), has_ended=False
    )
    clock[0] += 5
    heartbeat.end()
    os.utime(file, (0, 0))
    assert heartbeat.read(file) == heartbeat.Heartbeat(epoch, epoch, epoch, has_ended=True)


def test_a_process_that_has_not_started_work_leaves_the_file_alone(file: Path) -> None:
    file.write_text("0 1e12 1e11\n")
    heartbeat.begin(file, 10)
    heartbeat.end()
    assert file.read_text() == "0 1e12 1e11\n"
    assert list(file.parent.iterdir()) == [file]


def test_a_refused_processor_leaves_the_running_ones_heartbeat(
    settings: Settings, streams: tuple[Stream, ...], file: Path
) -> None:
    heartbeat.begin(file, 10)
    with open_pipeline(settings, streams[:1]), pytest.raises(AlreadyRunning):
        process_forever(settings, streams[:1], interval=1, max_runtime=0, stop=threading.Event())
    assert not file.exists()
    stop = threading.Event()
    stopping = threading.Thread(target=lambda: (until(file.exists), stop.set()))
    stopping.start()
    process_forever(settings, streams[:1], interval=0.1, max_runtime=60, stop=stop)
    stopping.join()
    assert heartbeat.check(file).alive


@pytest.mark.parametrize("content", [None, "", "0 1e12\n", "0 nan 0\n", "0 1e300 0\n", "\xff 1 1", "1 2 3 4"])
def test_an_invalid_heartbeat_file_is_ignored(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "heartbeat"
    if content is not None:
        file.write_text(content, encoding="latin-1")
    assert heartbeat.read(file) is None


def test_a_stopped_command_writes_that_to_the_heartbeat(settings: Settings) -> None:
    """Without any setting, the processor writes the heartbeat where the dashboard reads it."""
    environment = os.environ | {
        "POSTGRES_HOST": settings.postgres_host,
        "POSTGRES_PORT": str(settings.postgres_port),
        "POSTGRES_DB": settings.postgres_db,
        "POSTGRES_USER": settings.postgres_user,
        "POSTGRES_PASSWORD": settings.postgres_password.get_secret_value(),
        "STATE_DSN": settings.state_conninfo,
        "MONGO_URI": settings.mongo_conninfo,
        "MONGO_DB": settings.mongo_db,
        "DATA_DIR": str(settings.data_dir),
        "PROCESSOR_INTERVAL_SEC": "1",
    }
    running = subprocess.Popen([sys.executable, "-m", "adventure", "process"], env=environment)
    try:
        deadline = time.monotonic() + 60
        while heartbeat.read(settings.processor_heartbeat) is None:
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        running.terminate()
        assert running.wait(60) == 0
    finally:
        running.kill()
    found = heartbeat.read(settings.processor_heartbeat)
    assert found
    assert found.has_ended


def test_a_health_check_loads_nothing_heavy() -> None:
    script = "import sys, adventure.core.heartbeat; print(*(m for m in sys.modules if m.split('.')[0] in HEAVY))"
    heavy = {"pydantic", "structlog", "pyarrow", "psycopg", "pymongo", "duckdb", "dbt", "streamlit", "rich"}
    done = subprocess.run([sys.executable, "-c", script.replace("HEAVY", repr(heavy))], capture_output=True, check=True)
    assert done.stdout.split() == []
