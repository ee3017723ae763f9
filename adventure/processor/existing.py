"""Take over the watermark of another pipeline: the column `last_export` of a table that is only read."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from adventure.core.connect import connect_postgres, translating_postgres
from adventure.core.errors import ConfigError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.zones import check_zone, to_local, to_utc
from adventure.factory import open_stage
from adventure.processor.owner import owner_of
from adventure.processor.state import State

_NAME = "the source database"


def take_over(
    settings: Settings, streams: Sequence[Stream], *, table: str, zone: str | None, overlap: timedelta
) -> Iterator[str]:
    """Set the watermark of each stream that has none to the other pipeline's, less the overlap; say so for each stream.

    Args:
        table: the other pipeline's table, with a column `last_export`. Of several rows the earliest counts.
        zone: the zone of `last_export`, needed if it has none.
        overlap: how much to read again. Rows that arrive again are further versions of the same keys.

    Raises:
        AlreadyRunning: a processor holds a stream.
        ConfigError: the table cannot be read, or holds nothing to take over.
        SourceError: a database does not answer, or refuses.
    """
    last_export = _last_export(settings, table)
    if last_export.tzinfo is None and zone is None:
        raise ConfigError(
            f"{table}.last_export is {last_export}, without a time zone",
            "Name the zone in which it was written: --timezone America/Denver, or --timezone UTC",
        )
    check_zone(zone or "UTC")
    stage = open_stage(settings)
    with State(settings, streams) as state:
        for stream in streams:
            mark = state.watermarks.get(stream.name)
            if mark is not None:
                yield f"{stream.name}: keeps its own watermark {mark.value}"
                continue
            at = _cursor(last_export, stream, zone or "UTC") - overlap
            staged_until = max((window.staged_at for window in stage.windows(stream.stage)), default=datetime.min)
            state.reset(stream, at, owner_of(stream, stage.identity()), staged_until)
            yield f"{stream.name}: the next cycle reads from {at} ({stream.zone}); {table} is unchanged"


def _cursor(last_export: datetime, stream: Stream, zone: str) -> datetime:
    """Return the moment in the clock of the stream's cursor.

    A cursor without a zone may have the clock of `last_export` although pipeline.toml names another zone. So of the two
    readings the earlier counts: it reads rows again instead of skipping some.
    """
    if last_export.tzinfo is not None:
        return to_local(last_export.astimezone(UTC).replace(tzinfo=None), stream.zone)
    moment = to_local(to_utc(last_export, zone), stream.zone)
    return min(last_export, moment) if stream.kind.zoneless_cursors else moment


def _last_export(settings: Settings, table: str) -> datetime:
    query = sql.SQL("select last_export from {} where last_export is not null").format(
        sql.Identifier(*table.split("."))
    )
    conninfo = settings.postgres_dsn
    connection = connect_postgres(conninfo, name=_NAME, autocommit=True)
    with connection, translating_postgres(conninfo, _NAME):
        connection.execute("set default_transaction_read_only = on")
        try:
            found = connection.execute(query).fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise ConfigError(
                f"{settings.postgres_db} has no table {table} with a column last_export",
                "Name the other pipeline's table with --table",
            ) from error
    moments = [_moment(value, table) for (value,) in found]
    if not moments:
        raise ConfigError(f"{table} holds no last_export", "Run `adventure process`: it reads the tables as a whole")
    zones = {moment.tzinfo is None for moment in moments}
    if len(zones) > 1:
        raise ConfigError(f"Some values of {table}.last_export have a time zone and some have none", "Make them alike")
    return min(moments)


def _moment(value: Any, table: str) -> datetime:
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        raise ConfigError(f"{table}.last_export is no timestamp: {value!r}", "Name another table with --table")
    return value
