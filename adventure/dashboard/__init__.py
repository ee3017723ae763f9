"""The dashboard: a Streamlit app over the published copy. It must know neither stage nor warehouse.

`figures.py` asks, `charts.py` draws, `app.py` is the page.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

from adventure.errors import AdventureError, ConfigError
from adventure.settings import Settings

PUBLISHED_PATH = "ADVENTURE_PUBLISHED_PATH"
STALE_AFTER_SEC = "ADVENTURE_STALE_AFTER_SEC"


def serve_command(settings: Settings) -> list[str]:
    """The command line that serves the app on loopback. Nothing it does leaves this machine."""
    options = {
        "server.address": "127.0.0.1",
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


def serve(settings: Settings) -> None:
    """Serves until it is stopped.

    Raises:
        ConfigError: something listens on the port already.
        AdventureError: Streamlit ended with an error.
    """
    import signal

    _refuse_taken(settings.dashboard_port)
    environment = {
        PUBLISHED_PATH: str(settings.published_path.resolve()),
        # Two runs of the task graph: one may just be under way.
        STALE_AFTER_SEC: str(2 * settings.tasks_interval_sec),
    }
    server = subprocess.Popen(serve_command(settings), env=os.environ | environment, stdout=subprocess.DEVNULL)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.terminate())
    code = server.wait()
    if code not in (0, -signal.SIGTERM, -signal.SIGINT):
        raise AdventureError(f"The dashboard's server ended with exit code {code}", "See its lines above")


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(f"Port {port} is taken", "Set DASHBOARD_PORT to another one") from error
