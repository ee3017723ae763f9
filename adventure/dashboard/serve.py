"""Serve the dashboard on this machine, reading published files or Snowflake."""

import http.client
import os
import socket
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

from adventure.core import heartbeat
from adventure.core.errors import AdventureError, ConfigError
from adventure.core.extras import missing
from adventure.core.settings import Settings
from adventure.dashboard.source import HEARTBEAT_PATH
from adventure.factory import dashboard_environment

_THEME = {
    "theme.light.primaryColor": "#0058B8",
    "theme.dark.primaryColor": "#55C8EB",
    "theme.light.greenTextColor": "#0F6B2C",
    "theme.baseRadius": "medium",
}

_HEALTH_CHECK_SEC = 5.0


def serve_command(settings: Settings) -> list[str]:
    """Return the command that serves the app. It sends nothing to other machines."""
    options = {
        "server.address": settings.dashboard_host,
        "server.port": settings.dashboard_port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        **_THEME,
    }
    app = Path(__file__).with_name("app.py")
    return [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(app),
        *(f"--{name}={value}" for name, value in options.items()),
    ]


def environment(settings: Settings) -> dict[str, str]:
    """Return the app's environment: where to read, how often the tasks run, and the processor's heartbeat file."""
    variables = os.environ | {
        "TASKS_INTERVAL_SEC": str(settings.tasks_interval_sec),
        HEARTBEAT_PATH: str(settings.processor_heartbeat.resolve()),
    }
    return variables | dashboard_environment(settings)


def serve(settings: Settings, stop: threading.Event) -> None:
    """Serve until `stop` is set. Send heartbeats while the server answers.

    Raises:
        ConfigError: the port is already in use, or a package is not installed.
        AdventureError: Streamlit ended with an error.
    """
    for package in ("streamlit", "altair"):
        if find_spec(package) is None:
            raise missing("The dashboard", package, "dashboard")
    _refuse_taken(settings.dashboard_host, settings.dashboard_port)
    # Start a new session, so that Ctrl-C reaches only this process.
    server = subprocess.Popen(
        serve_command(settings), env=environment(settings), stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while not stop.wait(_HEALTH_CHECK_SEC):
            if server.poll() is not None:
                raise AdventureError(
                    f"The dashboard's server ended with exit code {server.returncode}", "See its output above"
                )
            if _answers(settings.dashboard_port):
                heartbeat.beat()
    finally:
        server.terminate()
        server.wait()


def _answers(port: int) -> bool:
    """Return whether Streamlit's health check succeeds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_HEALTH_CHECK_SEC)
    try:
        connection.request("GET", "/_stcore/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _refuse_taken(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(f"Port {port} is already in use", "Set DASHBOARD_PORT to a free port") from error
