"""What a build has to do, by what the last one was made from."""

from datetime import date, datetime

import duckdb

from adventure.warehouse.build import Scope


def needed_scope(connection: duckdb.DuckDBPyConnection, project: str, *, today: date) -> Scope:
    """All from scratch after a load of the history, since models keep what an earlier one brought; every model and test
    when the project has changed and once a day; otherwise what new sales can change.

    Args:
        project: the fingerprint of the dbt project.
        today: in UTC.
    """
    last = connection.execute("select built_at, project, history_loaded_at from raw_ext.last_whole_build").fetchone()
    if last is None:
        return "whole"
    built_at, built_project, built_history = last
    if built_history != read_history_stamp(connection):
        return "full refresh"
    return "increment" if built_project == project and built_at.date() == today else "whole"


def read_history_stamp(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """When the history was loaded, None if it was not."""
    found = connection.execute("select loaded_at from raw_ext.last_history").fetchone()
    return found[0] if found else None


def remember_build(
    connection: duckdb.DuckDBPyConnection, built_at: datetime, project: str, history_loaded_at: datetime | None
) -> None:
    """Keeps what a build of every model was made from, in place of the one before."""
    connection.begin()
    connection.execute("delete from raw_ext.last_whole_build")
    connection.execute("insert into raw_ext.last_whole_build values (?, ?, ?)", [built_at, project, history_loaded_at])
    connection.commit()
