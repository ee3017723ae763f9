"""What a build has to do, by what the last one was made from."""

from datetime import date, datetime

from adventure.destinations.common.build import Scope
from adventure.destinations.common.records import Query


def needed_scope(query: Query, project: str, *, today: date) -> Scope:
    """All from scratch after a load of the history, since models keep what an earlier one brought; every model and test
    when the project has changed and once a day; otherwise what new sales can change.

    Args:
        project: the fingerprint of the dbt project.
        today: in UTC.
    """
    last = query(
        "select built_at, project, history_loaded_at from raw_ext.last_whole_build order by built_at desc limit 1", []
    )
    if not last:
        return "whole"
    built_at, built_project, built_history = last[0]
    if built_history != read_history_stamp(query):
        return "full refresh"
    return "increment" if built_project == project and built_at.date() == today else "whole"


def read_history_stamp(query: Query) -> datetime | None:
    """When the history was loaded, None if it was not."""
    found: list[tuple[datetime | None]] = query("select loaded_at from raw_ext.last_history", [])
    return found[0][0] if found else None


def remember_build(query: Query, built_at: datetime, project: str, history_loaded_at: datetime | None) -> None:
    """Keeps what a build of every model was made from, in place of those before: the latest counts, so that a
    program that ends between the two statements leaves nothing wrong."""
    history = str(history_loaded_at) if history_loaded_at else None
    query(
        "insert into raw_ext.last_whole_build select cast(? as timestamp), ?, cast(? as timestamp)",
        [str(built_at), project, history],
    )
    query("delete from raw_ext.last_whole_build where built_at < cast(? as timestamp)", [str(built_at)])
