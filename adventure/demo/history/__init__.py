"""The years of history that the live sales join: made up, or loaded from a team's own files.

Both ways go through files of one form, described in docs/history.md, into the warehouse's raw tables. This room must
not know the processor, nor the models.
"""

from importlib import import_module
from pathlib import Path

from adventure.core.log import get_logger
from adventure.core.settings import Settings
from adventure.demo.history.loading import is_loaded
from adventure.demo.history.synthesis import synthesise as synthesise
from adventure.destinations.duckdb.connection import connect

log = get_logger()


def create(settings: Settings, *, seed: int = 1) -> None:
    """Synthesises the history into files below DATA_DIR and loads them in place of what the raw tables hold.

    Args:
        seed: the same one gives the same history.
    """
    folder = settings.data_dir / "history"
    log.info(f"history: synthesising it into {folder}", folder=str(folder), seed=seed)
    synthesise(folder, seed=seed)
    load(settings, folder)


def load(settings: Settings, folder: Path, *, allow_missing: bool = False) -> None:
    """Loads a history from files in place of what the raw tables hold, all of it or nothing.

    Args:
        folder: holds one file or folder per raw table, named after it.
        allow_missing: a table without a file is left empty instead of refused; for teams that have no such data.

    Raises:
        ConfigError: a file or column is missing, or a row does not parse; names file and row.
        WarehouseError: another process holds the warehouse; or Snowflake refuses, or does not answer.
    """
    # One module for each warehouse, so that neither needs the packages of the other.
    warehouse = import_module(f"adventure.demo.history.into_{settings.warehouse}")
    warehouse.load(settings, folder, allow_missing=allow_missing)


def ensure_history(settings: Settings) -> None:
    """Creates the history of the default seed unless the warehouse holds one already."""
    with connect(settings.duckdb_path) as connection:
        there = is_loaded(connection)
    if not there:
        create(settings)
