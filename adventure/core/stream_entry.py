"""Check one `[streams.NAME]` table of pipeline.toml, and make a Stream of it."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from adventure.core.api import Api
from adventure.core.errors import ConfigError
from adventure.core.kinds import SOURCES, check_kind
from adventure.core.named_sources import NamedSource
from adventure.core.settings import Settings
from adventure.core.streams import APPEND, AUTO, LOG, READ_AT, ROW_NUMBER, SNAPSHOT, Stream
from adventure.core.validation import faults_by_name
from adventure.core.zones import check_zone

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


def read_entry(
    where: str, name: str, values: Mapping[str, object], settings: Settings, own_source: NamedSource | None
) -> Stream:
    """Return the stream.

    Args:
        where: how errors name the entry.
        values: the keys of the entry, with each `${NAME}` replaced.
        own_source: its source, if that has settings of its own.

    Raises:
        ConfigError: a value is missing or malformed, or does not go with another one.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ConfigError(f"{where}: a stream's name is letters, digits and underscores", "Rename it")
    entry = _validated(where, {**values, "source": own_source.kind.name} if own_source else values)
    if entry.timezone:
        _check_timezone(where, entry)
    mode, mode_reason = _mode(where, entry)
    cursor, key = _cursor_and_key(where, entry, mode)
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
        start=_moment(entry.start),
        interval=timedelta(seconds=entry.interval),
        api=entry.api or Api(),
    )


def _validated(where: str, values: Mapping[str, object]) -> _Entry:
    try:
        return _Entry.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{key}{fault}" for key, fault in faults_by_name(error).items())
        raise ConfigError(
            f"{where}: {faults}", "See the list of keys at the top of the shipped pipeline.toml"
        ) from error


def _moment(value: datetime | date | None) -> datetime | None:
    """Return the start as a time; a date is its midnight."""
    return value if value is None or isinstance(value, datetime) else datetime.combine(value, time.min)


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


def _mode(where: str, entry: _Entry) -> tuple[str | None, str]:
    """Return the stream's mode, and why it is not AUTO if it names neither mode nor cursor."""
    kind = SOURCES[entry.source]
    if entry.mode is not None and entry.mode not in kind.modes:
        known = " or ".join(f'"{mode}"' for mode in kind.modes)
        raise ConfigError(
            f"{where}.mode: {kind.title} has no mode {entry.mode!r}", f"Write {known}" if known else "Remove mode"
        )
    if entry.mode is not None or entry.cursor is not None or not {LOG, SNAPSHOT} <= set(kind.modes):
        return entry.mode, ""
    why = _not_by_log(entry)
    return (SNAPSHOT, why[0]) if why else (AUTO, "")


def _cursor_and_key(where: str, entry: _Entry, mode: str | None) -> tuple[str, tuple[str, ...]]:
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
    if mode == LOG and (why := _not_by_log(entry)):
        raise ConfigError(f"{where}: the log cannot be read: {why[0]}", why[1])
    if mode == LOG and entry.interval:
        raise ConfigError(f"{where}.interval is not for rows that the log names", "Remove interval")
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


def _not_by_log(entry: _Entry) -> tuple[str, str] | None:
    """Return why the log cannot name the stream's rows, and the fix; else None."""
    if entry.key is None:
        return "it has no key, and the log names rows by their key", "Add the table's key"
    if entry.where:
        return "it has a condition (where), which the log does not know", "Remove where"
    if keys := set(entry.hash) & set(_names(entry.key)):
        return f"its key {min(keys)} is read as a hash, and rows are looked up by it", "Remove it from hash"
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
