"""Read the `[sources.NAME]` tables of pipeline.toml: databases and APIs beside those of the usual settings.

Each has settings with a prefix of its own: `SHOP_EU_HOST` is for the source with the prefix `SHOP_EU_` what
`POSTGRES_HOST` is for the usual database. `dsn` names a variable that holds a whole address in the place of those. A
setting that it lacks has its default, and never the usual source's value.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from adventure.core.environment import given_variables
from adventure.core.errors import ConfigError
from adventure.core.kinds import SOURCES, SourceKind
from adventure.core.settings import Settings, source_fields
from adventure.core.source_name import SourceName
from adventure.core.validation import faults_by_name

_KEYS = ("kind", "prefix", "dsn")


@dataclass(frozen=True)
class NamedSource:
    """A source with settings of its own."""

    name: str
    """As `source` of a stream has it."""
    kind: SourceKind
    prefix: str
    given: Settings = field(repr=False, compare=False)
    """The settings of its kind, read from the variables with its prefix."""
    dsn: str = ""
    """The variable that holds its whole address; empty if single settings hold it."""

    def settings(self, settings: Settings) -> Settings:
        """Return the settings with this source's own in the place of the usual ones of its kind."""
        fields = (self.kind.url_setting, *self.kind.in_url) if self.dsn else ()
        own = {each.upper(): self.dsn for each in fields}
        name = SourceName(self.name, f"the source {self.name}", self.kind.settings, self.prefix, own)
        return settings.of_source(name, self.given)


@dataclass(frozen=True)
class SourceTable:
    """One `[sources.NAME]` table, before its settings are read."""

    name: str
    kind: SourceKind
    prefix: str
    dsn: str = ""
    """The variable that holds the whole address."""

    @property
    def variables(self) -> dict[str, str]:
        """The fields that its settings stand for, by the name of the variable."""
        usual = self.kind.settings.lower()
        held = (self.kind.url_setting, *self.kind.in_url) if self.dsn else ()
        found = {self.prefix + name.removeprefix(usual).upper(): name for name in source_fields(usual)}
        found = {variable: name for variable, name in found.items() if name not in held}
        return ({self.dsn: self.kind.url_setting} if self.dsn else {}) | found

    def read(self, where: str, settings: Settings) -> NamedSource:
        """Return the source with its settings.

        Args:
            where: names the table, for errors.

        Raises:
            ConfigError: none of its settings is given, or one has a form that cannot be used.
        """
        every, variables = given_variables(settings.env_file), self.variables
        given = {name: every[variable] for variable, name in variables.items() if variable in every}
        if self.dsn and self.dsn not in every:
            near = difflib.get_close_matches(self.dsn, list(every), n=1, cutoff=0.8)
            raise ConfigError(
                f"{where}.dsn: {self.dsn} is not set" + (f", but {near[0]} is. Did you mean that?" if near else ""),
                f"Set {self.dsn} in the environment or the --env file, such as"
                f" {self.kind.address or 'https://api.example.com/v1'}",
            )
        if not given:
            near = difflib.get_close_matches(next(iter(variables)), list(every), n=1, cutoff=0.8)
            raise ConfigError(
                f"{where}: none of its settings is set"
                + (f", but {near[0]} is. Did you mean the prefix of that?" if near else ""),
                f"Set {', '.join(variables)} in the environment or the --env file, as far as the source needs them",
            )
        url = given.pop(self.kind.url_setting, "") if self.kind.url_setting not in Settings.model_fields else ""
        try:
            read = Settings(**given)
            read = read.at_postgres(url) if url else read
        except ValidationError as error:
            named = {name: variable for variable, name in variables.items()}
            faults = "; ".join(f"{named.get(name, name)}{fault}" for name, fault in faults_by_name(error).items())
            # No traceback may show the given values: one may be a secret.
            raise ConfigError(
                f"{where}: settings that cannot be used: {faults}", "Fix them in the environment or the --env file"
            ) from None
        except ValueError as error:
            raise ConfigError(f"{where}.dsn: {self.dsn} {error}", f"Write it as {self.kind.address}") from None
        return NamedSource(self.name, self.kind, self.prefix, read, self.dsn)


def source_tables(path: Path, document: Mapping[str, object]) -> dict[str, SourceTable]:
    """Return the tables of a pipeline file by their names.

    Raises:
        ConfigError: one is malformed, or its settings would be those of another source or of Adventure itself.
    """
    tables = document.get("sources", {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{path}: sources: expected tables", "Write them as [sources.NAME]")
    found: dict[str, SourceTable] = {}
    taken = {name.upper(): "Adventure itself" for name in Settings.model_fields}
    for name, table in tables.items():
        made = _table(f"{path}: sources.{name}", name, table)
        for variable in made.variables:
            if variable in taken:
                raise ConfigError(
                    f"{path}: sources.{name}.{'dsn' if variable == made.dsn else 'prefix'}: {variable} is a setting of"
                    f" {taken[variable]} already",
                    "Choose another one",
                )
        taken |= dict.fromkeys(made.variables, f"sources.{name}")
        found[name] = made
    return found


def source_variables(settings: Settings) -> set[str]:
    """Return the variables that are settings of the pipeline file's own sources; none if the file cannot be read."""
    path = settings.pipeline_file
    try:
        tables = source_tables(path, tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ConfigError):
        return set()
    return {variable for table in tables.values() for variable in table.variables}


def _table(where: str, name: str, table: object) -> SourceTable:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name in SOURCES:
        raise ConfigError(
            f"{where}: a source's name is letters, digits and underscores, and no kind's ({', '.join(SOURCES)})",
            "Rename it",
        )
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table of keys", "Write it as [sources.NAME]")
    for key in table:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            raise ConfigError(
                f"{where}: {key} is not a key of this table" + (f". Did you mean {near[0]}?" if near else ""),
                "Give it a kind, and a dsn, or a prefix if its settings do not begin with its name",
            )
    kind = SOURCES.get(str(table.get("kind", "")))
    if kind is None or not kind.settings:
        able = [each.name for each in SOURCES.values() if each.settings]
        raise ConfigError(f"{where}.kind: must be {' or '.join(map(repr, able))}", "Write one of them")
    prefix = table.get("prefix", f"{name.upper()}_")
    if not isinstance(prefix, str) or not re.fullmatch(r"[A-Z][A-Z0-9_]*_", prefix):
        raise ConfigError(
            f"{where}.prefix: must be upper case letters, digits and underscores, with _ at its end",
            f'Write it as "{name.upper()}_"',
        )
    dsn = table.get("dsn", "")
    if "dsn" in table and not (isinstance(dsn, str) and re.fullmatch(r"[A-Z_][A-Z0-9_]*", dsn)):
        # The text may be an address with a password, so the message does not quote it.
        raise ConfigError(
            f"{where}.dsn: must be the name of a variable, in upper case letters, digits and underscores"
            " (its text is not shown)",
            f'Write dsn = "{name.upper()}_URL", and set {name.upper()}_URL in the environment or the --env file',
        )
    return SourceTable(name, kind, prefix, str(dsn))
