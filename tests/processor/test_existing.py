"""`adventure init --from-existing`: begin where another pipeline stopped, and leave its table as it is."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from adventure.core.errors import AdventureError, ConfigError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.processor.existing import take_over
from adventure.processor.run import process_once
from adventure.processor.state import read_watermarks

HOUR = timedelta(hours=1)
TABLE = "create table processor_metadata (id integer primary key, last_export {kind})"


@pytest.fixture
def owner(writer_settings: Settings) -> Any:
    """A session of the shop's application."""
    with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as connection:
        yield connection


def taken(settings: Settings, streams: tuple[Stream, ...], **given: Any) -> dict[str, datetime]:
    options = {"table": "processor_metadata", "zone": None, "overlap": HOUR} | given
    said = list(take_over(settings, streams, **options))
    assert [sentence.partition(":")[0] for sentence in said] == [stream.name for stream in streams]
    return {name: mark.value for name, mark in read_watermarks(settings).items()}


@pytest.mark.parametrize(
    ("kind", "value", "zone", "orders", "chats"),
    [
        # The overlap is one hour.
        ("timestamptz", "2026-07-01 10:00:00-06:00", None, "2026-07-01 09:00", "2026-07-01 15:00"),
        ("timestamp", "2026-07-01 10:00:00", "America/Denver", "2026-07-01 09:00", "2026-07-01 15:00"),
        ("timestamp", "2026-01-15 10:00:00", "America/Denver", "2026-01-15 09:00", "2026-01-15 16:00"),
        ("text", "2026-01-15T10:00:00-07:00", None, "2026-01-15 09:00", "2026-01-15 16:00"),
        # The hour that comes twice: the first one counts.
        ("timestamp", "2026-11-01 01:30:00", "America/Denver", "2026-11-01 00:30", "2026-11-01 06:30"),
        # The exporting container's clock was UTC, the orders' clock is Denver's.
        ("timestamp", "2026-01-15 17:00:00", "UTC", "2026-01-15 09:00", "2026-01-15 16:00"),
        # East of UTC, the earlier reading of a chat counts, too.
        ("timestamp", "2026-01-15 17:00:00", "Asia/Tokyo", "2026-01-15 00:00", "2026-01-15 07:00"),
    ],
)
def test_the_watermark_is_taken_over_in_the_clock_of_each_stream(
    settings: Settings,
    owner: psycopg.Connection[Any],
    streams: tuple[Stream, ...],
    kind: str,
    value: str,
    zone: str | None,
    orders: str,
    chats: str,
) -> None:
    owner.execute(TABLE.format(kind=kind))  # type: ignore[arg-type]
    owner.execute("insert into processor_metadata values (1, %s)", [value])
    in_denver = tuple(
        replace(stream, timezone="America/Denver") if stream.source == "postgres" else stream for stream in streams
    )
    marks = taken(settings, in_denver, zone=zone)
    assert marks["orders"] == marks["order_details"] == datetime.fromisoformat(orders)
    assert marks["chat_logs"] == datetime.fromisoformat(chats)


def test_the_table_is_not_altered_and_a_watermark_of_ours_is_kept(
    settings: Settings, owner: psycopg.Connection[Any], streams: tuple[Stream, ...]
) -> None:
    owner.execute(TABLE.format(kind="timestamptz"))  # type: ignore[arg-type]
    owner.execute("insert into processor_metadata values (1, '2026-01-15 10:00Z'), (2, '2026-01-14 10:00Z'), (3, null)")
    snapshot = "select xmin::text, processor_metadata.* from processor_metadata order by id"
    before = owner.execute(snapshot).fetchall()  # type: ignore[arg-type]
    first = taken(settings, streams)
    # The earliest of several.
    assert first["orders"] == datetime(2026, 1, 14, 9)
    owner.execute("update processor_metadata set last_export = now() where id = 3")
    owner.execute("update processor_metadata set last_export = null where id = 3")
    assert taken(settings, streams) == first
    after = owner.execute(snapshot).fetchall()  # type: ignore[arg-type]
    assert [row[1:] for row in after] == [row[1:] for row in before]
    assert after[:2] == before[:2]


def test_the_next_cycle_reads_from_there(
    settings: Settings, owner: psycopg.Connection[Any], streams: tuple[Stream, ...]
) -> None:
    owner.execute(TABLE.format(kind="timestamp"))  # type: ignore[arg-type]
    owner.execute("insert into processor_metadata values (1, now() at time zone 'utc' - interval '1 day')")
    for days in (3, 0):
        owner.execute(
            "insert into orders (sales_order_id, last_modified)"
            " values (gen_random_uuid(), now() at time zone 'utc' - make_interval(days => %s))",
            [days],
        )
    taken(settings, streams, zone="UTC")
    report = process_once(settings, streams)
    rows = {each.stream: each.window.rows if each.window else 0 for each in report.streams}
    assert rows["orders"] == 1


@pytest.mark.parametrize(
    ("statement", "zone", "problem"),
    [
        (None, None, "has no table processor_metadata with a column last_export"),
        ("create table processor_metadata (id integer)", None, "has no table processor_metadata with a column"),
        (TABLE.format(kind="timestamp"), None, "holds no last_export"),
        (
            TABLE.format(kind="timestamp") + "; insert into processor_metadata values (1, '2026-01-15')",
            None,
            "time zone",
        ),
        (
            TABLE.format(kind="timestamp") + "; insert into processor_metadata values (1, '2026-01-15')",
            "Mars",
            "'Mars'",
        ),
        (
            TABLE.format(kind="text") + "; insert into processor_metadata values (1, 'soon')",
            None,
            "no timestamp: 'soon'",
        ),
    ],
)
def test_what_cannot_be_taken_over_is_said(
    settings: Settings,
    owner: psycopg.Connection[Any],
    streams: tuple[Stream, ...],
    statement: str | None,
    zone: str | None,
    problem: str,
) -> None:
    if statement:
        owner.execute(statement)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=problem):
        taken(settings, streams, zone=zone)
    assert read_watermarks(settings) == {}


def test_a_missing_privilege_is_said(
    settings: Settings, owner: psycopg.Connection[Any], streams: tuple[Stream, ...]
) -> None:
    owner.execute(TABLE.format(kind="timestamptz"))  # type: ignore[arg-type]
    owner.execute("revoke select on processor_metadata from adventure_reader")
    with pytest.raises(AdventureError, match="processor_metadata"):
        taken(settings, streams)
