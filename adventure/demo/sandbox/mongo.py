"""Run an embedded MongoDB-compatible server in its own process.

Two are known. secantusdb is a replica set of one member, which has change streams; it is GPL-2.0, so it is never
imported. nx-27017 is a standalone server in Python, for versions of Python for which secantusdb has no wheel.
"""

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

SECANTUS, NX = "secantus", "nx_27017"


@dataclass
class MongoServer(process.Server):
    """A server with its data in `folder`. It has no password, so it listens on loopback only."""

    stop_signal = signal.SIGTERM

    folder: Path
    port: int
    host: str = "127.0.0.1"
    options: tuple[str, ...] = ()
    """Additional command-line options of secantusdb."""
    durable: bool = True
    """Whether data survives a crash of the machine. Without that, secantusdb commits in less time."""
    package: str = ""
    """Which server runs: SECANTUS or NX. By default the first that is installed."""

    @property
    def uri(self) -> str:
        """Return the server's MongoDB URI."""
        return f"mongodb://{self.host}:{self.port}"

    def start(self) -> None:
        """Start the server; first stop one that an earlier, killed parent left running.

        Raises:
            SandboxError: the server does not start; the message quotes its log.
        """
        package = self.package or next(filter(importlib.util.find_spec, (SECANTUS, NX)), "")
        if not package:
            raise SandboxError(
                "The embedded MongoDB-compatible server is not installed",
                f"{install('demo')}, or run `make demo` in a clone",
            )
        data = (self.folder / "data").resolve()
        data.mkdir(parents=True, exist_ok=True)
        pid_file, log = self.folder / "pid", self.folder / "mongo.log"
        process.stop_leftover(process.read_pid(pid_file), data, self.stop_signal)
        command = self._secantus(data) if package == SECANTUS else self._nx(data)
        self._process = process.launch(command, log)
        pid_file.write_text(str(self._process.pid))
        process.await_answer(self._process, self._answers, "The MongoDB-compatible server", log)

    def _secantus(self, data: Path) -> list[str | Path]:
        # Without --config it would read ./secantusd.toml.
        config = self.folder / "empty.toml"
        config.touch()
        command: list[str | Path] = [sys.executable, "-m", "secantus", "--config", config.resolve()]
        command += ["--host", self.host, "--port", str(self.port), "--storage-path", data]
        command += ["--sync-on-commit"] if self.durable else []
        return command + list(self.options)

    def _nx(self, data: Path) -> list[str | Path]:
        # The package has no __main__.
        script = "from nx_27017.nx_27017 import main; main()"
        # Its own file of the process would be shared by all its servers on the machine.
        own = ["--pid-file", self.folder / "nx.pid"]
        return [sys.executable, "-c", script, "--host", self.host, "-p", str(self.port), "--data-dir", data, *own]

    def _answers(self) -> bool:
        with pymongo.MongoClient[dict[str, object]](self.uri, serverSelectionTimeoutMS=500) as client:
            try:
                client.admin.command("ping")
            except PyMongoError:
                return False
        return True
