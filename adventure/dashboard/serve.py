"""Serve the dashboard on this machine, reading published files or Snowflake."""

import errno
import http.client
import os
import socket
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

from adventure.core import heartbeat
from adventure.core.console import console
from adventure.core.errors import AdventureError, ConfigError
from adventure.core.extras import missing
from adventure.core.settings import Settings
from adventure.dashboard.source import HEARTBEAT_PATH, OBSERVED_PATH
from adventure.factory import dashboard_environment

_THEME = {
    "theme.light.primaryColor": "#0058B8",
    "theme.dark.primaryColor": "#55C8EB",
    "theme.light.greenTextColor": "#0F6B2C",
    "theme.baseRadius": "medium",
}

_HEALTH_CHECK_SEC = 5.0
_STARTING_CHECK_SEC = 0.2


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
    """Return the app's environment: where to read, and from when on something counts as a problem."""
    variables = os.environ | {
        "TASKS_INTERVAL_SEC": str(settings.tasks_interval_sec),
        "ALERT_WAITING_SEC": str(settings.alert_waiting_sec or ""),
        "ALERT_LAG_SEC": str(settings.alert_lag_sec),
        "ALERT_FAILURES": str(settings.alert_failures),
        HEARTBEAT_PATH: str(settings.processor_heartbeat.resolve()),
        OBSERVED_PATH: str(settings.observed_path.resolve()),
    }
    return variables | dashboard_environment(settings)


def serve(settings: Settings, stop: threading.Event) -> None:
    """Serve until `stop` is set. Print the URL once the server answers; send heartbeats while it answers.

    Raises:
        ConfigError: the port or the host cannot be used, or a package is not installed.
        AdventureError: Streamlit ended with an error.
    """
    if find_spec("streamlit") is None:
        raise missing("The dashboard", "streamlit", "dashboard")
    refuse_taken(settings.dashboard_host, settings.dashboard_port)
    # Start a new session, so that Ctrl-C reaches only this process.
    server = subprocess.Popen(
        serve_command(settings), env=environment(settings), stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        is_ready = False
        while not stop.wait(_HEALTH_CHECK_SEC if is_ready else _STARTING_CHECK_SEC):
            if server.poll() is not None:
                raise AdventureError(
                    f"The dashboard's server ended with exit code {server.returncode}", "See its output above"
                )
            if answers(settings):
                heartbeat.beat()
                if not is_ready:
                    is_ready = True
                    console().print(f"The dashboard is at {url(settings)}", soft_wrap=True)
    finally:
        server.terminate()
        server.wait()


def url(settings: Settings) -> str:
    """Return the dashboard's address for a browser on this machine."""
    host = _reached_at(settings)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.dashboard_port}"


def answers(settings: Settings) -> bool:
    """Return whether Streamlit's health check succeeds."""
    connection = http.client.HTTPConnection(_reached_at(settings), settings.dashboard_port, timeout=_HEALTH_CHECK_SEC)
    try:
        connection.request("GET", "/_stcore/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _reached_at(settings: Settings) -> str:
    return "127.0.0.1" if settings.dashboard_host in ("", "0.0.0.0") else settings.dashboard_host


def refuse_taken(host: str, port: int) -> None:
    """Raise an error if the dashboard cannot listen there.

    Raises:
        ConfigError: the port is in use or needs a privilege, or the host is no address of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except socket.gaierror as error:
        raise _no_address(host) from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise _no_address(host) from error
        if error.errno == errno.EACCES:
            raise ConfigError(
                f"This user may not listen on port {port}", "Set DASHBOARD_PORT to 1024 or above"
            ) from error
        raise ConfigError(
            f"Port {port}, which DASHBOARD_PORT names, is already in use", "Set DASHBOARD_PORT to a free port"
        ) from error


def _no_address(host: str) -> ConfigError:
    return ConfigError(
        f"DASHBOARD_HOST={host} is no address of this machine", "Set it to 127.0.0.1, or to 0.0.0.0 for all addresses"
    )
