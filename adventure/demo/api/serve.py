"""Serve the shop's API on this machine until a signal comes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from adventure.core import heartbeat
from adventure.core.errors import AdventureError, ConfigError
from adventure.core.log import get_logger
from adventure.core.settings import Settings
from adventure.demo.api.app import PATH, reviews_app
from adventure.demo.api.faults import Faults, parse_faults

log = get_logger()


def serve(settings: Settings, stop: threading.Event) -> None:
    """Serve until `stop` is set; send heartbeats while the server runs.

    Raises:
        ConfigError: the port or the host cannot be used, or SHOP_API_FAULTS is malformed.
        AdventureError: the server ended by itself.
    """
    faults = parse_faults(settings.shop_api_faults)
    with serving(settings, faults) as (port, thread):
        log.info(f"api: the reviews are at http://{settings.shop_api_host}:{port}{PATH}")
        while not stop.wait(1):
            if not thread.is_alive():
                raise AdventureError("The server of the shop's API ended", "Run `adventure api` again")
            heartbeat.beat()


@contextmanager
def serving(settings: Settings, faults: Faults | None = None) -> Iterator[tuple[int, threading.Thread]]:
    """Serve in a thread until the block ends; yield the port and the thread.

    Raises:
        ConfigError: the port or the host cannot be used.
    """
    listener = _listen(settings.shop_api_host, settings.shop_api_port)
    app = reviews_app(settings, faults)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", date_header=False))
    thread = threading.Thread(target=server.run, args=([listener],), name="api", daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], thread
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise ConfigError(
            f"The shop's API cannot listen on {host}:{port}: {error.strerror}",
            "Set SHOP_API_HOST and SHOP_API_PORT to an address and a free port of this machine",
        ) from error
