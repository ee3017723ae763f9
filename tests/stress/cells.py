"""The matrix: each value of a dimension with the usual values of the others, and the risky pairs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from adventure.core.streams import LOG, READ_AT

CLOCK = ((0.2, -4.0), (0.45, -7.0), (0.7, 3.0), (0.85, 0.0))
"""When the server's clock is set, as a share of the run, and its offset from the right time in seconds."""

COLUMNS = "(id bigint {key}, version integer not null default 1, changed_at {cursor})"
TABLE = f"create table things {COLUMNS}; create index on things (changed_at)".replace("{key}", "primary key")


@dataclass(frozen=True)
class Cell:
    """A way to write and to read. The default is a table whose cursor is a timestamptz set by now()."""

    dimension: str
    name: str
    cursor: str = "timestamptz not null default now()"
    """Type and default of the column changed_at."""
    relation: str = TABLE
    """Statements that create `things`, which the stream reads."""
    target: str = "things"
    """The table or view that is written."""
    protocol: str = "single statements"
    """The protocol of the writers, by its name in `tests.stress.writers`."""
    writers: int = 3
    """Number of writing sessions. A single session is the only one that holds the horizon back."""
    session: str = ""
    """Statements at the start of each writer's session."""
    administrator: str = ""
    """Statements that a superuser runs first; {database} is the cell's database."""
    beside: str = ""
    """Statements repeated during the writes; {n} is the number of the repetition, {key} the key of a new row."""
    stream: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the stream's configuration."""
    clock: bool = False
    """Whether the server's clock is set during the writes, as in CLOCK."""
    reader: str = "adventure_reader"
    """The processor's role."""
    reads_through: str | None = None
    """Mode of the pooler between processor and source."""
    writes_through: str | None = None
    result: Literal["exact", "refused"] = "exact"
    because: str = ""
    """Text in the mode besides `horizon`, or in the error message that refuses the stream."""

    def __str__(self) -> str:
        return f"{self.dimension}: {self.name}"


def _utc(default: str) -> str:
    return f"timestamp not null default ({default} at time zone 'utc')"


_SECONDS = "timestamptz not null default date_trunc('second', now())"
_STATEMENT = "timestamptz not null default statement_timestamp()"
_CLOCKED = "timestamptz not null default clock_timestamp()"
_LOCAL = "timestamp not null default localtimestamp"
_HASHED = TABLE.replace(
    "; create",
    " partition by hash (id); create table zero partition of things for values with (modulus 2, remainder 0);"
    " create table one partition of things for values with (modulus 2, remainder 1); create",
)
_RANGES = TABLE.replace(
    "; create",
    " partition by range (id);"
    " create table first partition of things for values from (minvalue) to (1000000000); create",
)
_BASE = TABLE.replace("things", "base") + "; "
_TRIGGER = TABLE + (
    "; create function stamp() returns trigger language plpgsql as"
    " $$ begin new.changed_at = clock_timestamp(); return new; end $$;"
    " create trigger stamp before insert or update on things for each row execute function stamp()"
)
_PUBLISHED = TABLE + "; create publication adventure for table things with (publish_via_partition_root = true)"
_LOG = {"mode": LOG, "cursor": READ_AT}
_OPEN, _MANY, _CHAIN, _PROCEDURE = (
    "open transactions",
    "many transactions a message",
    "chained",
    "a procedure that commits",
)

CELLS = (
    # Types and precisions of the cursor
    Cell("cursor", "timestamptz"),
    Cell("cursor", "timestamp, UTC", _utc("now()")),
    Cell("cursor", "timestamptz(3)", "timestamptz(3) not null default now()"),
    Cell("cursor", "timestamptz(0)", "timestamptz(0) not null default now()"),
    Cell("cursor", "timestamptz(0), open transactions", "timestamptz(0) not null default now()", protocol=_OPEN),
    Cell("cursor", "timestamp(0), UTC", _utc("clock_timestamp()").replace("timestamp ", "timestamp(0) ", 1)),
    Cell("cursor", "a domain", "moment not null default now()", "create domain moment as timestamptz(3); " + TABLE),
    Cell("cursor", "whole seconds", _SECONDS),
    Cell("cursor", "whole seconds, open transactions", _SECONDS, protocol=_OPEN),
    Cell("cursor", "whole minutes", "timestamptz not null default date_trunc('minute', now())"),
    Cell("cursor", "business days", "timestamptz not null default date_trunc('day', now())"),
    Cell("cursor", "date", "date not null default now()"),
    Cell("cursor", "date, open transactions", "date not null default now()", protocol=_OPEN),
    Cell("cursor", "time", "time not null default now()", result="refused", because="is of type time"),
    # Zones
    Cell("zone", "timestamptz in New York", session="set timezone = 'America/New_York'"),
    Cell("zone", "timestamp in UTC", _LOCAL),
    Cell(
        "zone", "timestamp in New York, named", _LOCAL, session="set timezone = 'America/New_York'",
        stream={"timezone": "America/New_York"}, because="America/New_York",
    ),
    Cell(
        "zone", "timestamp in Kolkata, named, open transactions", _LOCAL, session="set timezone = 'Asia/Kolkata'",
        stream={"timezone": "Asia/Kolkata"}, protocol=_OPEN, because="Asia/Kolkata",
    ),
    Cell(
        "zone", "timestamp in New York, not named", _LOCAL, session="set timezone = 'America/New_York'",
        result="refused", because="behind the clock of UTC while rows are written",
    ),
    Cell(
        "zone", "timestamp in Kolkata by the role, not named", _LOCAL,
        administrator="alter role sales_app in database {database} set timezone = 'Asia/Kolkata'",
        result="refused", because="the role sales_app has TimeZone = Asia/Kolkata",
    ),
    # Default expressions
    Cell("default", "clock_timestamp()", _CLOCKED),
    Cell("default", "statement_timestamp()", _STATEMENT),
    Cell("default", "a trigger", relation=_TRIGGER),
    Cell(
        "default", "a writer's clock up to 2 s behind, lookback 10 s",
        "timestamptz not null default clock_timestamp() - random() * interval '2 s'",
        stream={"lookback": timedelta(seconds=10)},
    ),
    Cell(
        "default", "a writer's clock up to 1 s ahead",
        "timestamptz not null default clock_timestamp() + random() * interval '1 s'",
    ),
    # Protocols
    Cell("protocol", "prepared statements", protocol="prepared statements"),
    Cell("protocol", "pipelined", protocol="pipelined"),
    Cell("protocol", "copy", protocol="copy"),
    Cell("protocol", _OPEN, protocol=_OPEN),
    Cell("protocol", f"{_OPEN}, clock_timestamp()", _CLOCKED, protocol=_OPEN),
    Cell("protocol", "savepoints and rollbacks", protocol="savepoints and rollbacks"),
    Cell("protocol", _MANY, protocol=_MANY, writers=1),
    Cell("protocol", f"{_MANY}, statement_timestamp()", _STATEMENT, protocol=_MANY, writers=1),
    Cell("protocol", f"{_MANY}, timestamptz(0)", "timestamptz(0) not null default now()", protocol=_MANY, writers=1),
    Cell("protocol", _CHAIN, protocol=_CHAIN, writers=1),
    Cell("protocol", _PROCEDURE, protocol=_PROCEDURE),
    Cell(
        "protocol", f"{_PROCEDURE}, statement_timestamp()", _STATEMENT,
        protocol=_PROCEDURE,
    ),
    Cell("protocol", "two-phase", protocol="two-phase", because="lookback: a prepared transaction is open"),
    Cell(
        "protocol", "track_activities off", protocol=_OPEN, administrator="alter role sales_app in database {database}"
        " set track_activities = off", because="lookback: a session runs with track_activities off",
    ),
    # Kinds of relation
    Cell("relation", "partitioned by hash", relation=_HASHED),
    Cell(
        "relation", "partitions that are attached with old rows", relation=_RANGES,
        beside="create table part_{n} (like things including defaults);"
        " insert into part_{n} (id, changed_at) values ({key}, '2020-01-01');"
        " alter table things attach partition part_{n} for values from ({key}) to ({key} + 1)",
    ),
    Cell("relation", "inherited", relation=TABLE + "; create table child () inherits (things)", target="child"),
    Cell("relation", "unlogged", relation=TABLE.replace("create table", "create unlogged table")),
    Cell("relation", "a view", relation=_BASE + "create view things as select * from base", target="base"),
    Cell(
        "relation", "a view that joins", target="base", protocol=_OPEN,
        relation=_BASE + "create view things as select base.* from base join base as other using (id)",
        because="lookback: the view public.things joins, groups or computes",
    ),
    Cell(
        "relation", "a materialised view", target="base", beside="refresh materialized view things",
        relation=_BASE + "create materialized view things as select * from base",
        result="refused", because="the rows of the materialised view public.things appear when it is refreshed",
    ),
    Cell(
        "relation", "a materialised view, lookback 60 s", target="base", beside="refresh materialized view things",
        relation=_BASE + "create materialized view things as select * from base",
        stream={"lookback": timedelta(seconds=60)}, because="lookback: the rows of the materialised view",
    ),
    # Row-level security
    Cell(
        "row security", "a policy hides rows",
        relation=TABLE + "; alter table things enable row level security; create policy own on things to sales_app"
        " using (true); create policy few on things for select to adventure_reader using (id % 2 = 0)",
        result="refused", because="row-level security",
    ),
    Cell(
        "row security", "the role bypasses it", relation=TABLE + "; alter table things enable row level security",
        reader="adventure_bypass",
    ),
    # Steps of the server's clock: back 4 s, back 3 s more, forward 10 s, back 3 s
    Cell("clock", "steps", clock=True, because="the clock was set back"),
    Cell("clock", f"steps, {_OPEN}", clock=True, protocol=_OPEN, because="the clock was set back"),
    Cell("clock", f"steps, {_MANY}", clock=True, protocol=_MANY, writers=1, because="the clock was set back"),
    Cell(
        "clock", "steps, clock_timestamp()", _CLOCKED, clock=True,
        because="the clock was set back",
    ),
    Cell(
        "clock", "steps, timestamptz(0)", "timestamptz(0) not null default now()", clock=True,
        because="the clock was set back",
    ),
    # By the log, beside writers that also delete
    *(
        Cell(
            "log", protocol, relation=_PUBLISHED, reader="adventure_log", protocol=protocol, stream=_LOG,
            writers=1 if protocol in (_MANY, _CHAIN) else 3, because="log",
        )
        for protocol in (
            "single statements", "deletions", "prepared statements", "pipelined", "copy", _OPEN,
            "savepoints and rollbacks", _MANY, _CHAIN, _PROCEDURE, "two-phase",
        )
    ),
    Cell(
        "log", "partitioned by hash", relation=_PUBLISHED.replace(TABLE, _HASHED), reader="adventure_log",
        protocol="deletions", stream=_LOG, because="log",
    ),
    Cell(
        "log", "without a primary key, replica identity full", reader="adventure_log",
        relation=_PUBLISHED.replace("primary key", "not null") + "; alter table things replica identity full",
        protocol="deletions", stream=_LOG, because="log",
    ),
    Cell(
        "log", "without a primary key, replica identity using index", reader="adventure_log",
        relation=_PUBLISHED.replace("primary key", "not null unique")
        + "; alter table things replica identity using index things_id_key",
        protocol="deletions", stream=_LOG, because="log",
    ),
    # Poolers
    Cell("pooler", "writers share sessions", writes_through="transaction", protocol=_OPEN),
    Cell("pooler", "the processor's session is its own", reads_through="session"),
    Cell(
        "pooler", "the processor shares sessions", reads_through="transaction",
        result="refused", because="pooler",
    ),
)  # fmt: skip


def as_table(cells: tuple[Cell, ...] = CELLS) -> str:
    """Return the matrix as a table for docs/guarantees.md."""
    lines = ["| dimension | cell | result |", "|---|---|---|"]
    for cell in cells:
        shown = f"{cell.result}: `… {cell.because} …`" if cell.because else cell.result
        lines.append(f"| {cell.dimension} | {cell.name} | {shown} |")
    return "\n".join(lines)
