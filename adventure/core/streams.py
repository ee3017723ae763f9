"""A stream: one table, collection or endpoint on its way to one raw table. `core.pipeline_file` reads the streams."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pydantic import SecretStr

from adventure.core.api import Api
from adventure.core.errors import ConfigError
from adventure.core.kinds import SOURCES, SourceKind
from adventure.core.named_sources import NamedSource

SNAPSHOT = "snapshot"
"""The mode in which the whole table is compared with what was staged before."""

LOG = "log"
"""The mode in which the source's log names the rows to read."""

APPEND = "append"
"""The mode in which the rows with higher ids than before are read."""

AUTO = "auto"
"""The mode of a stream without cursor and mode: by the log where the server allows it, else by snapshots."""

READ_AT, ROW_NUMBER = "_read_at", "_row_number"
"""Columns that a table without a cursor of its own gets: its cursor, and its key if it has none."""


@dataclass(frozen=True)
class Stream:
    """One table, collection or endpoint on its way to one raw table."""

    name: str
    source: str
    """The name of its kind (see `adventure.core.kinds`), or of a source with settings of its own."""
    namespace: str
    """The schema (PostgreSQL), the database (MongoDB), or the folder below API_URL."""
    table: str
    cursor: str
    key: tuple[str, ...]
    stage: str
    raw_table: str
    """`schema.table` in the warehouse."""
    lookback: timedelta = timedelta(0)
    """How far below the watermark each window starts to read."""
    types: dict[str, str] = field(default_factory=dict)
    """Staged types of numeric columns. Without one, a column that has no precision at the source is staged as text."""
    references: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Streams before this one, with the columns that hold their keys: a row is staged after what it refers to."""
    timezone: str | None = None
    """The IANA name of the zone of a cursor without an offset; None if the stream names none."""
    mode: str | None = None
    """How the table is read, one of `SourceKind.modes` or AUTO; None if the stream is read by its cursor."""
    mode_reason: str = ""
    """Why a table whose mode was chosen by itself is not read by the log; empty for all others."""
    append_by: str | None = None
    """The column whose values grow with each new row, in append mode."""
    columns: tuple[str, ...] = ()
    """The only columns that are read; empty for all."""
    exclude: tuple[str, ...] = ()
    """Columns that are not read."""
    where: str | None = None
    """The condition for the rows that are read, in the source's own language; None for all rows."""
    hash: tuple[str, ...] = ()
    """Columns of which only an HMAC-SHA256 is read."""
    hash_key: SecretStr | None = field(default=None, compare=False)
    """The key of these hashes."""
    start: datetime | None = None
    """Rows with a lower cursor are not read; in the stream's zone."""
    interval: timedelta = timedelta(0)
    """The shortest time between two reads of the table, in snapshot mode."""
    api: Api = field(default_factory=Api)
    """How to read the endpoint, for a source that is an API."""
    own_source: NamedSource | None = None
    """Its source, if that has settings of its own."""

    @property
    def kind(self) -> SourceKind:
        """The kind of its source."""
        return self.own_source.kind if self.own_source else SOURCES[self.source]

    @property
    def opens(self) -> str | NamedSource:
        """What `adventure.factory` opens as its source."""
        return self.own_source or self.source

    @property
    def documents(self) -> bool:
        """Whether its rows are JSON documents, each in the column `raw` of the raw table."""
        return self.kind.documents

    @property
    def latest_view(self) -> str:
        """The view `schema.table` with the latest version of each row: `raw_ext.orders_latest` for `orders_raw`."""
        return f"{self.raw_table.removesuffix('_raw')}_latest"

    @property
    def zone(self) -> str:
        """The zone of the stream's cursors and watermark."""
        return self.timezone or "UTC"

    @property
    def is_snapshot(self) -> bool:
        """Whether the whole table is compared with what was staged before."""
        return self.mode == SNAPSHOT

    @property
    def is_log(self) -> bool:
        """Whether the source's log names the rows to read."""
        return self.mode == LOG

    @property
    def is_auto(self) -> bool:
        """Whether the source chooses in each cycle between the log and snapshots."""
        return self.mode == AUTO

    @property
    def is_append(self) -> bool:
        """Whether rows are only added, with growing ids."""
        return self.mode == APPEND

    @property
    def has_read_at(self) -> bool:
        """Whether its cursor is the time at which a row was read, which Adventure adds to the table's columns."""
        return self.cursor == READ_AT and self.mode in (SNAPSHOT, LOG, AUTO, APPEND)

    def as_read(self, last: str | None) -> "Stream":
        """Return the stream in the mode in which it was read last, if the source chooses it.

        Args:
            last: the mode of its watermark; None before the first window.
        """
        if not self.is_auto or last is None:
            return self
        return replace(self, mode=LOG if last.startswith(LOG) else SNAPSHOT)

    @property
    def is_replaced(self) -> bool:
        """Whether each window replaces all rows, because no key identifies them."""
        return self.key == (ROW_NUMBER,)

    @property
    def is_whole(self) -> bool:
        """Whether all columns and rows of the table are read, as they are."""
        return not (self.columns or self.exclude or self.where or self.hash or self.start)

    @property
    def hash_secret(self) -> bytes:
        """The key of the hashes, as bytes."""
        return self.hash_key.get_secret_value().encode() if self.hash_key else b""

    @property
    def location(self) -> str:
        """The source table as `namespace.table`."""
        return f"{self.namespace}.{self.table}"


def find_stream(streams: tuple[Stream, ...], name: str) -> Stream:
    """Return the stream of that name.

    Raises:
        ConfigError: there is none; the error lists the streams.
    """
    for stream in streams:
        if stream.name == name:
            return stream
    raise ConfigError(f"There is no stream named {name}", f"Choose one of: {', '.join(s.name for s in streams)}")
