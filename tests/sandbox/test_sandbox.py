"""The embedded servers keep acknowledged writes and their ports, and their roles have the promised rights."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pymongo
import pytest

from adventure.core.errors import SandboxError
from adventure.core.settings import Settings
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import Databases, create_databases

pytestmark = pytest.mark.slow

_START_AND_WAIT = """
import sys, time
from pathlib import Path
from adventure.demo.sandbox import Sandbox
sandbox = Sandbox(Path(sys.argv[1]))
sandbox.start()
print(sandbox.postgres.pid, sandbox.mongo.pid, flush=True)
time.sleep(600)
"""


def test_acknowledged_writes_survive_kill_9(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox") as sandbox:
        with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
            connection.execute("create table kept as select 42 as answer")
        with pymongo.MongoClient[dict[str, int]](sandbox.mongo.uri) as client:
            client["db"]["kept"].insert_one({"answer": 42})
        sandbox.postgres.kill()
        sandbox.mongo.kill()
        sandbox.postgres.start()
        sandbox.mongo.start()
        with psycopg.connect(sandbox.postgres.dsn()) as connection:
            assert connection.execute("select answer from kept").fetchall() == [(42,)]
        with pymongo.MongoClient[dict[str, int]](sandbox.mongo.uri) as client:
            assert client["db"]["kept"].count_documents({"answer": 42}) == 1


def test_a_killed_server_leaves_no_process_that_could_still_write(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox") as sandbox:
        servers = (sandbox.postgres, sandbox.mongo)
        processes = [process for server in servers for process in [psutil.Process(server.pid or 0)]]
        processes += [child for process in processes for child in process.children(recursive=True)]
        assert len(processes) > 2, "PostgreSQL runs several processes"
        for server in servers:
            server.kill()
        assert [process for process in processes if process.is_running()] == []


def test_ports_and_password_stay_and_every_process_ends(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    with Sandbox(folder) as first:
        facts = (first.postgres.port, first.mongo.port, first.password)
        pids = [first.postgres.pid, first.mongo.pid]
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)
    with Sandbox(folder) as second:
        assert (second.postgres.port, second.mongo.port, second.password) == facts
    assert (folder / "sandbox.json").stat().st_mode & 0o077 == 0


def test_servers_of_a_killed_parent_are_stopped_first(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    parent = subprocess.Popen([sys.executable, "-c", _START_AND_WAIT, str(folder)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    leftovers = [int(pid) for pid in parent.stdout.readline().split()]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert all(psutil.pid_exists(pid) for pid in leftovers)
    with Sandbox(folder) as sandbox:
        assert not any(psutil.pid_exists(pid) for pid in leftovers)
        assert psycopg.connect(sandbox.postgres.dsn()).info.server_version >= 180000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers keep their data outside of their folder")
def test_outside_data_is_removed_with_its_folder(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "deleted") as sandbox, psycopg.connect(sandbox.postgres.dsn()) as connection:
        [data] = connection.execute("show data_directory").fetchone() or ()
    assert not Path(data).is_relative_to(tmp_path)
    assert Path(data).is_dir()
    shutil.rmtree(tmp_path / "deleted")
    with Sandbox(tmp_path / "next"):
        assert not Path(data).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers keep their data outside of their folder")
def test_a_folder_that_was_deleted_and_made_again_gets_new_data(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "again") as sandbox, psycopg.connect(sandbox.postgres.dsn()) as connection:
        [data] = connection.execute("show data_directory").fetchone() or ()
    shutil.rmtree(tmp_path / "again")
    with Sandbox(tmp_path / "again") as sandbox, psycopg.connect(sandbox.postgres.dsn()) as connection:
        assert connection.execute("show data_directory").fetchone() != (data,)
    with Sandbox(tmp_path / "again"), Sandbox(tmp_path / "other"):
        assert not Path(data).exists()


def test_a_second_sandbox_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox"), pytest.raises(SandboxError, match="Another process is running the servers"):
        Sandbox(tmp_path / "sandbox").start()


def test_two_sandboxes_run_side_by_side(sandbox: Sandbox, tmp_path: Path) -> None:
    with Sandbox(tmp_path / "other") as other:
        assert other.postgres.port != sandbox.postgres.port
        assert other.mongo.port != sandbox.mongo.port


def test_no_command_line_shows_the_password(sandbox: Sandbox) -> None:
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not any(sandbox.password in line for line in lines)


def test_creating_the_databases_again_changes_nothing(sandbox: Sandbox, settings: Settings) -> None:
    again = create_databases(sandbox, settings.postgres_db, settings.mongo_db)
    assert again.reader_env["POSTGRES_USER"] == settings.postgres_user


@pytest.mark.parametrize(
    "statement",
    [
        "delete from orders",
        "update orders set status = 1",
        "create table mine (a int)",
        "truncate order_details",
    ],
)
def test_the_reader_may_not_write(settings: Settings, statement: str) -> None:
    with psycopg.connect(settings.postgres_dsn) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)  # type: ignore[arg-type]


def test_the_reader_may_read_tables_made_later_and_see_open_transactions(
    databases: Databases, settings: Settings, writer_settings: Settings
) -> None:
    with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as connection:
        connection.execute("create table later as select 1 as a")
    with psycopg.connect(writer_settings.postgres_dsn) as writer, psycopg.connect(settings.postgres_dsn) as reader:
        writer.execute("select 1")
        assert reader.execute("select a from later").fetchall() == [(1,)]
        seen = reader.execute(
            "select count(*) from pg_stat_activity where pid = %s and xact_start is not null", [writer.info.backend_pid]
        ).fetchone()
        assert seen == (1,)
