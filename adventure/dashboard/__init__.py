"""The dashboard: a Streamlit app over the published copy. It must know neither stage nor warehouse.

`figures.py` asks, `charts.py` draws, `app.py` is the page.
"""

import http.client
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from adventure import heartbeat
from adventure.errors import AdventureError, ConfigError
from adventure.settings import Settings

PUBLISHED_PATH = "ADVENTURE_PUBLISHED_PATH"
STALE_AFTER_SEC = "ADVENTURE_STALE_AFTER_SEC"

_LOOK_EVERY_SEC = 5.0


def serve_command(settings: Settings) -> list[str]:
    """The command line that serves the app. Nothing it does leaves this machine."""
    options = {
        "server.address": settings.dashboard_host,
        "server.port": settings.dashboard_port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
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


def serve(settings: Settings, stop: threading.Event) -> None:
    """Serves until `stop` is set; beats while the server answers.

    Raises:
        ConfigError: something listens on the port already.
        AdventureError: Streamlit ended with an error.
    """
    _refuse_taken(settings.dashboard_host, settings.dashboard_port)
    environment = {
        PUBLISHED_PATH: str(settings.published_path.resolve()),
        # Two runs of the task graph: one may just be under way.
        STALE_AFTER_SEC: str(2 * settings.tasks_interval_sec),
    }
    # A session of its own: Ctrl-C reaches this process alone.
    server = subprocess.Popen(
        serve_command(settings), env=os.environ | environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while not stop.wait(_LOOK_EVERY_SEC):
            if server.poll() is not None:
                raise AdventureError(
                    f"The dashboard's server ended with exit code {server.returncode}", "See its lines above"
                )
            if _answers(settings.dashboard_port):
                heartbeat.beat()
    finally:
        server.terminate()
        server.wait()


def _answers(port: int) -> bool:
    """Whether Streamlit says of itself that it is well."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LOOK_EVERY_SEC)
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
            raise ConfigError(f"Port {port} is taken", "Set DASHBOARD_PORT to another one") from error
