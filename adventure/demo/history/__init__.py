"""The sales history that precedes the live sales: synthesised, or loaded from a team's own files.

Both are files in the format of docs/history.md, loaded into the warehouse's raw tables. This package depends neither
on the processor nor on the models.
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
    with connect(settings.duckdb_path) as connection:
        loaded = is_loaded(connection)
    if not loaded:
        create(settings)
