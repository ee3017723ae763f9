"""Run an embedded MongoDB-compatible server: secantusdb in its own process, never imported (it is GPL-2.0)."""

import importlib.util
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pymongo
from pymongo.errors import PyMongoError

from adventure.core.errors import SandboxError
from adventure.core.extras import install
from adventure.demo.sandbox import process


@dataclass
class MongoServer(process.Server):
    """A server with its data in `folder`. It has no password, so it listens on loopback only."""

    stop_signal = signal.SIGTERM

    folder: Path
    port: int
    host: str = "127.0.0.1"
    options: tuple[str, ...] = ()
    """Additional command-line options. By default it is a replica set of one member, which has change streams."""
    durable: bool = True
    """Whether data survives a crash of the machine. Without that, the server commits in less time."""

    @property
    def uri(self) -> str:
        """Return the server's MongoDB URI."""
        return f"mongodb://{self.host}:{self.port}"

    def start(self) -> None:
        """Start the server; first stop one that an earlier, killed parent left running.

        Raises:
            SandboxError: the server does not start; the message quotes its log.
        """
        if importlib.util.find_spec("secantus") is None:
            raise SandboxError(
                "The embedded MongoDB-compatible server is not installed",
                f"{install('demo')}, or run `make demo` in a clone",
            )
        data = (self.folder / "data").resolve()
        data.mkdir(parents=True, exist_ok=True)
        pid_file, log = self.folder / "pid", self.folder / "mongo.log"
        process.stop_leftover(process.read_pid(pid_file), data, self.stop_signal)
        self._process = process.launch(self.command(data), log)
        pid_file.write_text(str(self._process.pid))
        process.await_answer(self._process, self._answers, "The MongoDB-compatible server", log)

    def command(self, data: Path) -> list[str | Path]:
        """Return the command that serves the folder `data`."""
        # Without --config it would read ./secantusd.toml.
        config = self.folder / "empty.toml"
        config.touch()
        command: list[str | Path] = [sys.executable, "-m", "secantus", "--config", config.resolve()]
        command += ["--host", self.host, "--port", str(self.port), "--storage-path", data]
        command += ["--sync-on-commit"] if self.durable else []
        return command + list(self.options)

    def _answers(self) -> bool:
        with pymongo.MongoClient[dict[str, object]](self.uri, serverSelectionTimeoutMS=500) as client:
            try:
                client.admin.command("ping")
            except PyMongoError:
                return False
        return True
