"""Read the streams of pipeline.toml.

This module checks the file as a whole: which streams are used, where their values come from, and how streams fit
together. `core.stream_entry` checks each stream by itself; the processor finds out whether the source has such a table.
"""

import re
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from pydantic import SecretStr

from adventure.core.environment import given_variables
from adventure.core.errors import ConfigError
from adventure.core.kinds import SOURCES
from adventure.core.log import get_logger
from adventure.core.named_sources import NamedSource, SourceTable, source_tables
from adventure.core.settings import Settings
from adventure.core.stream_entry import read_entry
from adventure.core.streams import Stream


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
    own = source_tables(path, document)
    used = {name: table for name, table in tables.items() if _has_what_it_needs(path, name, table, settings, own)}
    sources = _sources(path, own, used, settings)
    filling = _Filling(settings, path, own)
    streams = tuple(_stream(path, name, table, filling, sources) for name, table in used.items())
    for what in ("stage", "raw_table"):
        _refuse_shared(path, streams, what)
    _refuse_views(path, streams)
    for position, stream in enumerate(streams):
        _check_references(path, stream, {each.name: each for each in streams[:position]})
    return streams


def _has_what_it_needs(
    path: Path, name: str, table: object, settings: Settings, sources: dict[str, SourceTable]
) -> bool:
    """Return whether the setting that the entry names in `needs` is set; True if it names none."""
    needed = table.get("needs") if isinstance(table, dict) else None
    if not isinstance(needed, str):
        return True
    if needed.lower() in Settings.model_fields:
        is_set = bool(getattr(settings, needed.lower()))
    elif any(needed in each.variables for each in sources.values()):
        is_set = needed in given_variables(settings.env_file)
    else:
        raise ConfigError(
            f"{path}: streams.{name}.needs: {needed} is not a setting",
            "See .env.example and the tables [sources.NAME] for the names, or remove it",
        )
    if is_set:
        return True
    get_logger().debug(f"streams: {name} is left out, because {needed} is not set")
    return False


def _sources(
    path: Path, tables: dict[str, SourceTable], used: dict[str, object], settings: Settings
) -> dict[str, NamedSource]:
    """Return the sources with settings of their own that the streams name."""
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


def _stream(path: Path, name: str, table: object, filling: "_Filling", sources: dict[str, NamedSource]) -> Stream:
    where = f"{path}: streams.{name}"
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table of keys", "Write it as [streams.NAME]")
    values = {key: filling.fill(f"{where}.{key}", value) for key, value in table.items()}
    return read_entry(where, name, values, filling.settings, sources.get(str(values.get("source"))))


@dataclass(frozen=True)
class _Filling:
    """Fills the settings into the entries of a pipeline file."""

    settings: Settings
    path: Path
    sources: dict[str, SourceTable]

    def fill(self, where: str, value: object) -> object:
        """Replace each `${NAME}` by the setting of that name; secrets cannot be named."""
        if not isinstance(value, str):
            return value

        def lookup(match: re.Match[str]) -> str:
            setting = self._setting(match[1])
            if setting is None or isinstance(setting, SecretStr):
                raise ConfigError(
                    f"{where}: ${{{match[1]}}} is not a setting that can be used here",
                    "See .env.example and the tables [sources.NAME] for the names; secrets cannot be used",
                )
            return str(setting)

        return re.sub(r"\$\{(\w+)\}", lookup, value)

    def _setting(self, name: str) -> object:
        """Return the setting's value; None if there is no such setting, or if the variable holds a whole address."""
        if name.lower() in Settings.model_fields:
            return getattr(self.settings, name.lower())
        for source in self.sources.values():
            if name in source.variables and name != source.dsn:
                read = source.read(f"{self.path}: sources.{source.name}", self.settings)
                return getattr(read.given, source.variables[name])
        return None


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
