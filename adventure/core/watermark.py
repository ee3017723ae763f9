"""How far a stream has been read, and what that watermark belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Origin:
    """Which database is read, and how far its log is: a watermark says nothing about another one."""

    name: str | None = None
    """Identifies the database, as PostgreSQL's system identifier does; None if the server does not tell."""
    position: int | None = None
    """How far the server's log is on disk. It goes back only if the server was restored to an older state."""
    timeline: int | None = None
    """PostgreSQL's timeline: another one after a failover, and after a restore."""
    is_standby: bool = False
    """The server replays another one's log, and may lag behind it."""
    follows: bool = False
    """The source itself notices when a collection is another one, and then reads all of it."""


@dataclass(frozen=True)
class Watermark:
    """How far one stream was read. Timestamps are naive UTC; `value` is in the stream's zone."""

    stream: str
    value: datetime
    """Every row below it was read."""
    horizon: datetime
    """The source's horizon when the watermark moved last."""
    mode: str
    """How the source was read last: `horizon`, `change stream`, `lookback` with the reason, or `reset`. Behind it,
    after a comma each, how coarse the cursor is and its zone, where it is coarse or has one other than UTC."""
    updated_at: datetime
    position: str | None = None
    """Where the source reads on, for a source that has more to say than the watermark does."""
    window_id: str | None = None
    """The window that moved it here; None after a reset."""
    owner: Mapping[str, str] = field(default_factory=dict)
    """Table, cursor, key, stage, raw table and destination by name; empty if an earlier version moved it last."""
    origin: Origin = Origin()
    """The source when the watermark moved last."""
    read_from: datetime | None = None
    """Where `adventure stream reset --from` let the reading begin; None for the beginning."""
    refused: tuple[str, str] | None = None
    """Problem and remedy, where the stream stays stopped until it is reset."""
