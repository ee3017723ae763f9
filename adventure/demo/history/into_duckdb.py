"""Load a history from files into DuckDB's raw tables."""

from pathlib import Path

from adventure.core.settings import Settings
from adventure.demo.history.loading import load_files
from adventure.destinations.duckdb.connection import connect


def load(settings: Settings, folder: Path, *, allow_missing: bool) -> None:
    """Replace the history in the warehouse by what the files hold; see `adventure.demo.history.load`."""
    with connect(settings.duckdb_path) as connection:
        load_files(connection, folder, allow_missing=allow_missing)
