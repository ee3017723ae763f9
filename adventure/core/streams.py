"""Read pipeline.toml into Stream values.

A stream is one table, collection or endpoint on its way to one raw table. This module checks the file; the processor
finds out whether the source has such a table.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, NoReturn

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from adventure.core.api import Api
from adventure.core.errors import ConfigError
from adventure.core.kinds import SOURCES, WAREHOUSES, SourceKind, check_kind
from adventure.core.log import get_logger
from adventure.core.named_sources import NamedSource, SourceTable, source_tables
from adventure.core.settings import Settings
from adventure.core.validation import faults_by_name
from adventure.core.zones import check_zone

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

_DEFAULT_API = Api()


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
    api: Api = _DEFAULT_API
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


# A stage is a folder, and a raw table an identifier in two warehouses. Plain names need no quoting in either.
_Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
_Text = Annotated[str, Field(min_length=1)]


class _Entry(BaseModel):
    """One `[streams.NAME]` table of the file."""

    model_config = ConfigDict(extra="forbid")

    source: str
    """The name of its kind: that of a source with settings of its own is replaced by its kind's before."""
    namespace: _Text
    table: _Text
    cursor: _Text | None = None
    key: _Text | Annotated[list[_Text], Field(min_length=1)] | None = None
    stage: _Name
    raw_table: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*$")]
    lookback: Annotated[float, Field(ge=0, description="seconds")] = 0
    types: dict[str, Annotated[str, Field(pattern=r"^(text|decimal\(\d{1,2},\d{1,2}\))$")]] = {}
    references: dict[str, _Text | Annotated[list[_Text], Field(min_length=1)]] = {}
    timezone: _Text | None = None
    mode: _Text | None = None
    columns: Annotated[list[_Text], Field(min_length=1)] | None = None
    exclude: list[_Text] = []
    where: _Text | None = None
    hash: list[_Text] = []
    start: datetime | date | None = None
    interval: Annotated[float, Field(ge=0, description="seconds")] = 0
    api: Api | None = None
    needs: _Text | None = None

    @field_validator("source")
    @classmethod
    def _is_kind(cls, value: str) -> str:
        return check_kind(value, SOURCES)


def load_streams(settings: Settings) -> tuple[Stream, ...]:
    """Return the streams of `settings.pipeline_file`, in the file's order.

    A stream that needs a setting which is not set is left out.

    Raises:
        ConfigError: the file is missing or malformed; names the file, the key and what is expected.
    """
    path = settings.pipeline_file
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"The pipeline file {path} does not exist", "Set PIPELINE_FILE, or run from the project directory"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", "Fix that line") from error
    tables = document.get("streams")
    if not isinstance(tables, dict) or not tables:
        raise ConfigError(
            f"{path} names no stream", "Add a table [streams.NAME], as described at the top of the shipped file"
        )
    used = {name: table for name, table in tables.items() if _has_what_it_needs(path, name, table, settings)}
    sources = _sources(path, document, used, settings)
    streams = tuple(_stream(path, name, table, settings, sources) for name, table in used.items())
    for what in ("stage", "raw_table"):
        _refuse_shared(path, streams, what)
    _refuse_views(path, streams)
    for position, stream in enumerate(streams):
        _check_references(path, stream, {each.name: each for each in streams[:position]})
    return streams


def find_stream(streams: tuple[Stream, ...], name: str) -> Stream:
    """Return the stream of that name.

    Raises:
        ConfigError: there is none; the error lists the streams.
    """
    for stream in streams:
        if stream.name == name:
            return stream
    raise ConfigError(f"There is no stream named {name}", f"Choose one of: {', '.join(s.name for s in streams)}")


def _has_what_it_needs(path: Path, name: str, table: object, settings: Settings) -> bool:
    """Return whether the setting that the entry names in `needs` is set; True if it names none."""
    needed = table.get("needs") if isinstance(table, dict) else None
    if not isinstance(needed, str):
        return True
    if needed.lower() not in Settings.model_fields:
        raise ConfigError(
            f"{path}: streams.{name}.needs: {needed} is not a setting", "See .env.example for the names, or remove it"
        )
    if getattr(settings, needed.lower()):
        return True
    get_logger().debug(f"streams: {name} is left out, because {needed} is not set")
    return False


def _sources(
    path: Path, document: dict[str, object], used: dict[str, object], settings: Settings
) -> dict[str, NamedSource]:
    """Return the sources with settings of their own that the streams name."""
    tables = source_tables(path, document)
    named: dict[str, NamedSource] = {}
    for stream, table in used.items():
        source = table.get("source") if isinstance(table, dict) else None
        if not isinstance(source, str) or source in SOURCES or source in named:
            continue
        if source not in tables:
            _refuse_unknown(f"{path}: streams.{stream}", source, tables)
        named[source] = tables[source].read(f"{path}: sources.{source}", settings)
    return named


def _refuse_unknown(where: str, source: str, tables: dict[str, SourceTable]) -> NoReturn:
    known = [*SOURCES, *tables]
    near = get_close_matches(source, known, n=1)
    raise ConfigError(
        f"{where}: source: must be {' or '.join(map(repr, known))}" + (f". Did you mean {near[0]}?" if near else ""),
        "Correct the name, or add a table [sources.NAME]; see the top of the shipped pipeline.toml",
    )


def _stream(path: Path, name: str, table: object, settings: Settings, sources: dict[str, NamedSource]) -> Stream:
    where = f"{path}: streams.{name}"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ConfigError(f"{where}: a stream's name is letters, digits and underscores", "Rename it")
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table of keys", "Write it as [streams.NAME]")
    filled = {key: _fill(f"{where}.{key}", value, settings) for key, value in table.items()}
    own_source = sources.get(str(filled.get("source")))
    if own_source:
        filled["source"] = own_source.kind.name
    try:
        entry = _Entry.model_validate(filled)
    except ValidationError as error:
        faults = "; ".join(f"{key}{fault}" for key, fault in faults_by_name(error).items())
        raise ConfigError(
            f"{where}: {faults}", "See the list of keys at the top of the shipped pipeline.toml"
        ) from error
    if entry.timezone:
        _check_timezone(where, entry)
    mode, mode_reason = _mode(where, entry, settings)
    cursor, key = _cursor_and_key(where, entry, mode, settings)
    append_by = entry.cursor if entry.mode == APPEND else None
    _check_shape(where, entry, [append_by or cursor, *key], settings)
    _check_api(where, entry)
    return Stream(
        name=name,
        source=own_source.name if own_source else entry.source,
        own_source=own_source,
        namespace=entry.namespace,
        table=entry.table,
        cursor=cursor,
        key=key,
        stage=entry.stage,
        raw_table=entry.raw_table,
        lookback=timedelta(seconds=entry.lookback),
        types=entry.types,
        references={parent: _names(columns) for parent, columns in entry.references.items()},
        timezone=entry.timezone,
        mode=mode,
        mode_reason=mode_reason,
        append_by=append_by,
        columns=tuple(entry.columns or ()),
        exclude=tuple(entry.exclude),
        where=entry.where,
        hash=tuple(entry.hash),
        hash_key=settings.hash_key if entry.hash else None,
        start=entry.start
        if entry.start is None or isinstance(entry.start, datetime)
        else datetime.combine(entry.start, time.min),
        interval=timedelta(seconds=entry.interval),
        api=entry.api or _DEFAULT_API,
    )


def _check_api(where: str, entry: _Entry) -> None:
    kind = SOURCES[entry.source]
    if entry.api and not kind.api:
        raise ConfigError(f"{where}.api: {kind.title} is no API", "Remove the table api")
    if kind.api and entry.where:
        raise ConfigError(f"{where}.where: {kind.title} has no query language", "Use parameters of the table api")
    if kind.api and not entry.lookback:
        raise ConfigError(
            f"{where}: a stream of {kind.title} needs a lookback, because an API does not show how far it is complete",
            "Add lookback: the seconds by which a record may appear late, such as 300",
        )


def _mode(where: str, entry: _Entry, settings: Settings) -> tuple[str | None, str]:
    """Return the stream's mode, and why it is not AUTO if it names neither mode nor cursor."""
    kind = SOURCES[entry.source]
    if entry.mode is not None and entry.mode not in kind.modes:
        known = " or ".join(f'"{mode}"' for mode in kind.modes)
        raise ConfigError(
            f"{where}.mode: {kind.title} has no mode {entry.mode!r}", f"Write {known}" if known else "Remove mode"
        )
    if entry.mode is not None or entry.cursor is not None or not {LOG, SNAPSHOT} <= set(kind.modes):
        return entry.mode, ""
    why = _not_by_log(entry, settings)
    return (SNAPSHOT, why[0]) if why else (AUTO, "")


def _cursor_and_key(where: str, entry: _Entry, mode: str | None, settings: Settings) -> tuple[str, tuple[str, ...]]:
    """Check what the mode needs, and return the stream's cursor and key."""
    if mode == APPEND:
        return _append_cursor_and_key(where, entry)
    if mode not in (SNAPSHOT, LOG, AUTO):
        for name in ("cursor", "key"):
            if getattr(entry, name) is None:
                able = SNAPSHOT in SOURCES[entry.source].modes
                raise ConfigError(
                    f"{where}: {name}: Field required", f'Add it, or mode = "{SNAPSHOT}"' if able else "Add it"
                )
        if entry.interval:
            raise ConfigError(f"{where}.interval is for snapshots", f'Add mode = "{SNAPSHOT}", or remove interval')
        return entry.cursor or "", _names(entry.key or "")
    for name in ("cursor", "lookback", "timezone", "start", "references"):
        if getattr(entry, name):
            if entry.mode is None:
                raise ConfigError(
                    f"{where}: cursor: Field required, because {name} needs it", f"Add it, or remove {name}"
                )
            raise ConfigError(f"{where}.{name} has no meaning with {entry.mode!r}, which needs no cursor", "Remove it")
    if mode == LOG and (why := _not_by_log(entry, settings)):
        raise ConfigError(f"{where}: the log cannot be read: {why[0]}", why[1])
    if mode == LOG and entry.interval:
        raise ConfigError(f"{where}.interval is not for rows that the log names", "Remove interval")
    if entry.key is None and not WAREHOUSES[settings.warehouse].whole_tables:
        raise ConfigError(
            f"{where}: WAREHOUSE={settings.warehouse} cannot replace a table without a key", "Add the table's key"
        )
    return READ_AT, _names(entry.key or ROW_NUMBER)


def _append_cursor_and_key(where: str, entry: _Entry) -> tuple[str, tuple[str, ...]]:
    for name in ("cursor", "key"):
        if getattr(entry, name) is None:
            raise ConfigError(
                f"{where}: {name}: Field required", "Name the column of ids that grow as cursor, and the key"
            )
    for name in ("timezone", "start", "references", "interval"):
        if getattr(entry, name):
            raise ConfigError(f"{where}.{name} has no meaning with {entry.mode!r}, which reads by id", "Remove it")
    return READ_AT, _names(entry.key or "")


def _not_by_log(entry: _Entry, settings: Settings) -> tuple[str, str] | None:
    """Return why the log cannot name the stream's rows, or the warehouse not replace them, and the fix; else None."""
    if entry.key is None:
        return "it has no key, and the log names rows by their key", "Add the table's key"
    if entry.where:
        return "it has a condition (where), which the log does not know", "Remove where"
    if keys := set(entry.hash) & set(_names(entry.key)):
        return f"its key {min(keys)} is read as a hash, and rows are looked up by it", "Remove it from hash"
    if not WAREHOUSES[settings.warehouse].whole_tables:
        return f"WAREHOUSE={settings.warehouse} cannot replace a table that was truncated", "Name a cursor"
    return None


def _check_shape(where: str, entry: _Entry, needed: Sequence[str], settings: Settings) -> None:
    """Check that key and cursor are read as they are, and that hashes have a key."""
    needed = [name for name in needed if name not in (READ_AT, ROW_NUMBER)]
    if entry.columns and entry.exclude:
        raise ConfigError(f"{where}: columns and exclude are both given", "Keep one of them")
    for name in needed:
        if entry.columns and name not in entry.columns:
            raise ConfigError(f"{where}.columns leaves out {name}, which is its cursor or key", f"Add {name}")
        if name in entry.exclude:
            raise ConfigError(f"{where}.exclude names {name}, which is its cursor or key", f"Remove {name} from it")
    if entry.cursor and entry.cursor in entry.hash:
        raise ConfigError(f"{where}.hash names its cursor {entry.cursor}, which windows compare", "Remove it from hash")
    for name in entry.hash:
        if name in entry.exclude or (entry.columns and name not in entry.columns):
            raise ConfigError(f"{where}.hash names {name}, which the stream does not read", "Remove it from hash")
    if SOURCES[entry.source].documents and (keys := [name for name in needed if name in entry.hash]):
        raise ConfigError(
            f"{where}.hash names its key {keys[0]}, by which documents are looked up", "Remove it from hash"
        )
    if entry.hash and settings.hash_key is None:
        raise ConfigError(
            f"{where}.hash needs a key, and HASH_KEY is not set", "Set HASH_KEY, for example to `openssl rand -hex 32`"
        )
    if isinstance(entry.start, datetime) and entry.start.tzinfo:
        raise ConfigError(f"{where}.start has an offset", "Write it without, in the zone of the cursor")


def _check_timezone(where: str, entry: _Entry) -> None:
    kind = SOURCES[entry.source]
    if not kind.zoneless_cursors:
        raise ConfigError(f"{where}.timezone: dates of {kind.title} are UTC", "Remove timezone")
    try:
        check_zone(entry.timezone or "")
    except ConfigError as error:
        raise ConfigError(f"{where}.timezone: {error.problem}", error.remedy) from error


def _names(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _fill(where: str, value: object, settings: Settings) -> object:
    """Replace `${NAME}` by the setting of that name; secrets cannot be named."""
    if not isinstance(value, str):
        return value

    def lookup(match: re.Match[str]) -> str:
        setting = getattr(settings, match[1].lower(), None) if match[1].lower() in Settings.model_fields else None
        if setting is None or isinstance(setting, SecretStr):
            raise ConfigError(
                f"{where}: ${{{match[1]}}} is not a setting that can be used here", "See .env.example for the names"
            )
        return str(setting)

    return re.sub(r"\$\{(\w+)\}", lookup, value)


def _refuse_shared(path: Path, streams: tuple[Stream, ...], what: str) -> None:
    """Refuse two streams with the same stage or raw table: each would load the other's files."""
    owners: dict[str, str] = {}
    for stream in streams:
        value = str(getattr(stream, what)).lower()
        if value in owners:
            raise ConfigError(
                f"{path}: streams {owners[value]} and {stream.name} share the {what} {value}", "Give each its own"
            )
        owners[value] = stream.name


def _refuse_views(path: Path, streams: tuple[Stream, ...]) -> None:
    """Refuse a stream whose view of latest versions has the name of another stream's raw table or view."""
    taken = {stream.raw_table.lower(): stream.name for stream in streams}
    for stream in streams:
        other = taken.setdefault(stream.latest_view.lower(), stream.name)
        if other != stream.name:
            raise ConfigError(
                f"{path}: the view {stream.latest_view} of stream {stream.name} has the name of a table or view of"
                f" {other}",
                "Rename one of the raw tables",
            )


def _check_references(path: Path, stream: Stream, before: dict[str, Stream]) -> None:
    """Check that a stream refers to streams before it, which are read from the same snapshot."""
    for name, columns in stream.references.items():
        where = f"{path}: streams.{stream.name}.references.{name}"
        parent = before.get(name)
        if parent is None:
            raise ConfigError(
                f"{where}: no stream of that name comes before it", "Put that stream first, or fix the name"
            )
        if parent.has_read_at:
            raise ConfigError(f"{where}: {name} has no cursor (its mode is {parent.mode})", "Remove it")
        if stream.source != parent.source or not stream.kind.one_snapshot:
            able = " or ".join(kind.title for kind in SOURCES.values() if kind.one_snapshot)
            raise ConfigError(f"{where}: only tables of {able} are read in one snapshot", "Remove the reference")
        if len(columns) != len(parent.key):
            raise ConfigError(
                f"{where}: names {len(columns)} columns where the key of {name} has {len(parent.key)}",
                f"Name the columns that hold {', '.join(parent.key)}, in that order",
            )
