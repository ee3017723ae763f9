"""Run PgBouncer in front of a server."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adventure.demo.sandbox.process import free_port
from tests.waiting import until

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

Pool = Callable[..., int]
"""Start a pooler in this mode with these options; return its port."""


@contextmanager
def poolers(sandbox: Any, new_folder: Callable[[], Path]) -> Iterator[Pool]:
    """Yield a function that starts poolers; stop them at the end.

    Args:
        sandbox: a `Sandbox`, or a stand-in for one.
    """
    running = []

    def start(mode: str, **more: Any) -> int:
        folder, port = new_folder(), free_port(None)
        users = folder / "users.txt"
        names = ("adventure_reader", "adventure_bypass", "adventure_state", "sales_app")
        users.write_text("".join(f'"{name}" "{sandbox.password}"\n' for name in names))
        options = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "plain",
            "auth_file": users,
            "pool_mode": mode,
            "logfile": folder / "log",
            **more,
        }
        lines = ["[databases]", f"* = host=127.0.0.1 port={sandbox.postgres.port}", "[pgbouncer]"]
        (folder / "pgbouncer.ini").write_text("\n".join([*lines, *(f"{k} = {v}" for k, v in options.items()), ""]))
        command = [str(PGBOUNCER), str(folder / "pgbouncer.ini")]
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (folder, *folder.iterdir()):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
            command += ["-u", "nobody"]
            # Other users cannot enter pytest's folders.
            for parent in [folder, *folder.parents][:6]:
                if parent.name.startswith(("pytest-", "popen-")):
                    parent.chmod(0o755)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running.append(process)
        until(lambda: _answers(port) or process.poll() is not None)
        assert process.poll() is None, (folder / "log").read_text() if (folder / "log").exists() else "it did not start"
        return port

    try:
        yield start
    finally:
        for process in running:
            process.terminate()
            process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
