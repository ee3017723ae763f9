"""The sales history that precedes the live sales: synthesised, or loaded from a team's own files.

Both are files in the format of docs/history.md, loaded into the warehouse's raw tables. This package depends neither
on the processor nor on the models.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from adventure.core.errors import AdventureError
from adventure.core.log import get_logger
from adventure.core.settings import Settings
from adventure.demo.history.loading import is_loaded
from adventure.demo.history.synthesis import synthesise as synthesise
from adventure.demo.sandbox.process import stop
from adventure.destinations.duckdb.connection import connect

log = get_logger()


def create(settings: Settings, *, seed: int = 1) -> None:
    """Synthesise the history into files below DATA_DIR and replace the content of the raw tables with them.

    Args:
        seed: the same seed gives the same history.
    """
    folder = settings.data_dir / "history"
    log.info(f"history: synthesising files in {folder}", folder=str(folder), seed=seed)
    synthesise(folder, seed=seed)
    load(settings, folder)


def load(settings: Settings, folder: Path, *, allow_missing: bool = False) -> None:
    """Replace the content of the raw tables with a history from files, in one transaction.

    Args:
        folder: a folder with one file or folder per raw table, named after the table.
        allow_missing: leave a table without a file empty instead of raising an error.

    Raises:
        ConfigError: a file or column is missing, or a row does not parse; the message names the file and row.
        WarehouseError: another process holds the warehouse, or Snowflake is unavailable or refuses the connection.
    """
    # One module for each warehouse, so that neither needs the packages of the other.
    warehouse = import_module(f"adventure.demo.history.into_{settings.warehouse}")
    warehouse.load(settings, folder, allow_missing=allow_missing)


def ensure_history(settings: Settings) -> None:
    """Create the history of the default seed unless the warehouse already has one."""
    if not _has_history(settings):
        create(settings)


@contextmanager
def history_aside(settings: Settings) -> Iterator[Callable[[], None]]:
    """Create the history of the default seed in another process while the block runs; stop it at the block's end.

    It takes as long as parsing the models, and a machine of two cores does both at once. The other process holds the
    warehouse's file while it loads.

    Yields:
        A function that waits until the history is loaded. It does nothing if the warehouse already has a history, and
        raises AdventureError if the process failed.
    """
    if _has_history(settings):
        yield lambda: None
        return
    folder, seed = settings.data_dir / "history", 1
    log.info(f"history: synthesising files in {folder}", folder=str(folder), seed=seed)
    # In its own session it does not receive Ctrl-C: this process stops it.
    process = subprocess.Popen(
        [sys.executable, "-m", "adventure.demo.history", str(settings.data_dir), str(seed)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )

    def wait() -> None:
        _, said = process.communicate()
        if process.returncode:
            last = said.decode(errors="replace").strip().rpartition("\n")[2]
            raise AdventureError(
                f"The history could not be made in {folder}: {last or f'exit code {process.returncode}'}",
                "Fix the cause, then run the command again",
            )
        log.info("history: loaded into the raw tables")

    try:
        yield wait
    finally:
        # It removes its unfinished files, as after Ctrl-C.
        stop(process, signal.SIGINT)
        if process.stderr:
            process.stderr.close()


def _has_history(settings: Settings) -> bool:
    with connect(settings.duckdb_path) as connection:
        return is_loaded(connection)
