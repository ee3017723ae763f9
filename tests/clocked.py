"""Run a separate PostgreSQL server whose clock a test sets through libfaketime."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.postgres import PostgresServer
from adventure.demo.sandbox.process import free_port

_LIBRARIES = ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib64/faketime")


@dataclass
class ClockedServer:
    """A stand-in for `Sandbox` where databases are created."""

    postgres: PostgresServer
    mongo: Any
    password: str
    offset_file: Path

    def set_clock(self, seconds: float) -> None:
        """Set the server's clock to this machine's, plus these seconds; sessions see it at once."""
        new = self.offset_file.with_suffix(".new")
        new.write_text(f"{seconds:+f}\n")
        new.chmod(0o644)
        new.replace(self.offset_file)


def library() -> Path | None:
    """Return libfaketime, or None where it is not installed."""
    return next((path for path in (Path(each, "libfaketime.so.1") for each in _LIBRARIES) if path.exists()), None)


@contextmanager
def clocked_server(folder: Path, sandbox: Sandbox | SimpleNamespace) -> Iterator[ClockedServer]:
    """Run such a server; skip the test if libfaketime is not installed."""
    preload = library()
    if preload is None:
        pytest.skip("libfaketime is not installed (Debian: apt install libfaketime)")
    with tempfile.TemporaryDirectory(prefix="adventure-clock-") as readable:
        Path(readable).chmod(0o755)
        file = Path(readable) / "offset"
        environment = {
            "LD_PRELOAD": str(preload),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        postgres = PostgresServer(folder, sandbox.password, free_port(None), environment=environment, durable=False)
        server = ClockedServer(postgres, sandbox.mongo, sandbox.password, file)
        server.set_clock(0)
        postgres.start()
        try:
            yield server
        finally:
            postgres.stop()
