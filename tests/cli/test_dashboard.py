"""`adventure dashboard` prints its URL when the page answers, and stops on Ctrl-C without a traceback."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from adventure.core.errors import ConfigError
from adventure.dashboard.serve import refuse_taken
from adventure.demo.sandbox.process import free_port


def test_the_url_is_printed_when_the_page_answers(empty_folder: Path) -> None:
    port = free_port(None)
    environment = os.environ | {"DASHBOARD_PORT": str(port), "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(
        [sys.executable, "-m", "adventure", "dashboard"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        line = running.stdout.readline()
        assert line == f"The dashboard is at http://127.0.0.1:{port}\n"
        with urllib.request.urlopen(line.split()[-1], timeout=10) as response:
            assert response.status == 200
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 0
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("host", "port", "sentence"),
    [
        ("127.0.0.1", None, "which DASHBOARD_PORT names, is already in use. Set DASHBOARD_PORT to a free port."),
        ("192.0.2.1", 8501, "DASHBOARD_HOST=192.0.2.1 is no address of this machine."),
        ("no.such.host.invalid", 8501, "DASHBOARD_HOST=no.such.host.invalid is no address of this machine."),
    ],
)
def test_where_the_dashboard_cannot_listen_the_setting_is_named(host: str, port: int | None, sentence: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError) as caught:
            refuse_taken(host, port or taken.getsockname()[1])
    assert sentence in str(caught.value)
