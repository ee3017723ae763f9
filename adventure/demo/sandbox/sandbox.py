"""Both servers together, with ports and passwords that stay the same from run to run."""

import json
import os
import secrets
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from adventure.core.errors import SandboxError
from adventure.demo.sandbox.mongo import MongoServer
from adventure.demo.sandbox.postgres import PostgresServer
from adventure.demo.sandbox.process import free_port


class Sandbox:
    """PostgreSQL and a MongoDB-compatible server on the data under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder / "lock", timeout=0)
        self._facts = self.folder / "sandbox.json"
        saved = json.loads(self._facts.read_text()) if self._facts.exists() else {}
        self.password: str = saved.get("password") or secrets.token_urlsafe(18)
        """Of the superuser and of the roles that `create_databases` makes."""
        self.postgres = PostgresServer(self.folder / "postgres", self.password, saved.get("postgres_port") or 0)
        self.mongo = MongoServer(self.folder / "mongo", saved.get("mongo_port") or 0)

    def start(self) -> None:
        """Starts both, on the ports of the last run if they are free.

        Raises:
            SandboxError: one does not start, or another process runs servers on this folder.
        """
        try:
            self._lock.acquire()
        except Timeout as error:
            raise SandboxError(
                f"Another process runs the servers of {self.folder}", "End it first, or use another folder"
            ) from error
        try:
            self.postgres.port = free_port(self.postgres.port)
            self.mongo.port = free_port(self.mongo.port)
            self._save()
            self.postgres.start()
            self.mongo.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops both; the data stays."""
        self.mongo.stop()
        self.postgres.stop()
        self._lock.release()

    def _save(self) -> None:
        facts = {"password": self.password, "postgres_port": self.postgres.port, "mongo_port": self.mongo.port}
        self._facts.unlink(missing_ok=True)
        with os.fdopen(os.open(self._facts, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(facts, file)

    def __enter__(self) -> "Sandbox":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
