"""`adventure status` tries each database once and imports nothing that it does not need."""

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import SourceUnavailable
from adventure.core.pipeline_file import load_streams
from adventure.monitoring.pipeline_status import read_status
from adventure.sources.mongo import connect

ROOT = Path(__file__).parent.parent
SLOW = {"pandas", "numpy", "pyarrow", "dbt", "snowflake", "adbc_driver_postgresql", "streamlit", "apprise"}


def test_a_status_with_everything_down_imports_no_large_package(tmp_path: Path) -> None:
    script = (
        "import sys; from adventure.core.environment import load_settings;"
        "from adventure.core.pipeline_file import load_streams;"
        "from adventure.monitoring.pipeline_status import read_status;"
        "settings = load_settings(); found = read_status(settings, load_streams(settings));"
        "print([each.kind for each in found.problems]); print(*sys.modules)"
    )
    environment = {
        "PATH": "/usr/bin",
        "POSTGRES_PORT": "1",
        "MONGO_PORT": "1",
        "DATA_DIR": str(tmp_path / "data"),
        "PIPELINE_FILE": str(ROOT / "pipeline.toml"),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    *_, problems, modules = done.stdout.splitlines()
    assert problems.count("source_unavailable") == 2
    assert SLOW & set(modules.split()) == set()


@pytest.mark.slow
def test_a_server_that_accepts_and_says_nothing_is_tried_once(tmp_path: Path) -> None:
    """As behind a firewall that drops what arrives: the connection opens, and no answer comes."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.setblocking(False)
        port = silent.getsockname()[1]
        settings = load_settings(
            data_dir=tmp_path,
            pipeline_file=ROOT / "pipeline.toml",
            postgres_port=port,
            mongo_uri=f"mongodb://127.0.0.1:{port}",
        )
        found = read_status(settings, load_streams(settings)).problems
        assert [each.kind for each in found].count("source_unavailable") == 2
        asked = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = silent.accept()
                with connection:
                    # PostgreSQL's first message has its length; MongoDB's has a header of 16 bytes.
                    asked += connection.recv(1024)[:4] == bytes([0, 0, 0, 8])
        assert asked == 2, "the source's and the state's connection, each once"


def test_a_server_that_refuses_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver would try again for two seconds."""
    import pymongo

    monkeypatch.setattr(pymongo, "MongoClient", lambda *_, **__: pytest.fail("tried again"))
    with pytest.raises(SourceUnavailable, match="does not answer"):
        connect.connect_mongo("mongodb://127.0.0.1:1", name="chats", brief=True)


def test_a_server_that_accepts_or_is_silent_is_asked_by_the_driver() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        assert not connect._all_refuse(f"mongodb://127.0.0.1:1,127.0.0.1:{port}/?replicaSet=a")
    assert connect._all_refuse(f"mongodb://u:p@127.0.0.1:1,127.0.0.1:{port}")
    assert not connect._all_refuse("mongodb+srv://cluster.invalid")
