"""Run both servers together, with the same ports and passwords in every run."""

import json
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from adventure.core.errors import SandboxError
from adventure.demo.sandbox.mongo import MongoServer
from adventure.demo.sandbox.postgres import PostgresServer
from adventure.demo.sandbox.process import free_port


class Sandbox:
    """PostgreSQL and a MongoDB-compatible server with their data under `folder`.

    Args:
        durable: see `PostgresServer.durable`.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder / "lock", timeout=0)
        self._facts = self.folder / "sandbox.json"
        saved = json.loads(self._facts.read_text()) if self._facts.exists() else {}
        self.password: str = saved.get("password") or secrets.token_urlsafe(18)
        """The password of the superuser and of the roles that `create_databases` creates."""
        self.postgres = PostgresServer(
            self.folder / "postgres", self.password, saved.get("postgres_port") or 0, durable=durable
        )
        self.mongo = MongoServer(self.folder / "mongo", saved.get("mongo_port") or 0, durable=durable)

    def start(self) -> None:
        """Start both, on the ports of the last run if they are free.

        Raises:
            SandboxError: a server does not start, or another process is running servers on this folder.
        """
        try:
            self._lock.acquire()
        except Timeout as error:
            raise SandboxError(
                f"Another process is running the servers of {self.folder}", "Stop it first, or use another folder"
            ) from error
        try:
            self.postgres.port = free_port(self.postgres.port)
            self.mongo.port = free_port(self.mongo.port)
            self._save()
            _both(self.postgres.start, self.mongo.start)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both; the data is kept."""
        try:
            _both(self.mongo.stop, self.postgres.stop)
        finally:
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


def _both(first: Callable[[], None], second: Callable[[], None]) -> None:
    """Run both at the same time, since each mostly waits for its server; then raise the error of one of them."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        started = [pool.submit(first), pool.submit(second)]
    for each in started:
        each.result()
