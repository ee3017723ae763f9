"""Which scope a build needs, by what the last build of every model was made from."""

from datetime import date, datetime

from adventure.destinations.warehouse import Execute, Scope


def needed_scope(execute: Execute, project: str, *, today: date) -> Scope:
    """Return the least scope that brings the models up to date.

    - "full refresh" after a load of the history, because incremental models keep the rows of the earlier history.
    - "whole" when the project has changed, and once a day.
    - "increment" otherwise.

    Args:
        project: the fingerprint of the dbt project.
        today: in UTC.
    """
    last = execute(
        "select built_at, project, history_loaded_at from raw_ext.last_whole_build order by built_at desc limit 1", []
    )
    if not last:
        return "whole"
    built_at, built_project, built_history = last[0]
    if built_history != read_history_stamp(execute):
        return "full refresh"
    return "increment" if built_project == project and built_at.date() == today else "whole"


def read_history_stamp(execute: Execute) -> datetime | None:
    """Return when the history was loaded; None if it was not."""
    found: list[tuple[datetime | None]] = execute("select loaded_at from raw_ext.last_history", [])
    return found[0][0] if found else None


def record_build(execute: Execute, built_at: datetime, project: str, history_loaded_at: datetime | None) -> None:
    """Record what a build of every model was made from, and delete the earlier records.

    Only the latest record counts, so a process that ends between the two statements leaves a correct state.
    """
    history = str(history_loaded_at) if history_loaded_at else None
    execute(
        "insert into raw_ext.last_whole_build select cast(? as timestamp), ?, cast(? as timestamp)",
        [str(built_at), project, history],
    )
    execute("delete from raw_ext.last_whole_build where built_at < cast(? as timestamp)", [str(built_at)])
