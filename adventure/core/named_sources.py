"""Read the `[sources.NAME]` tables of pipeline.toml: databases and APIs beside those of the usual settings.

Each has settings with a prefix of its own: `SHOP_EU_HOST` is for the source with the prefix `SHOP_EU_` what
`POSTGRES_HOST` is for the usual database. A setting that it lacks has its default, and never the usual source's value.
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


@dataclass(frozen=True)
class NamedSource:
    """A source with settings of its own."""

    name: str
    """As `source` of a stream has it."""
    kind: SourceKind
    prefix: str
    given: Settings = field(repr=False, compare=False)
    """The settings of its kind, read from the variables with its prefix."""

    def settings(self, settings: Settings) -> Settings:
        """Return the settings with this source's own in the place of the usual ones of its kind."""
        name = SourceName(self.name, f"the source {self.name}", self.kind.settings, self.prefix)
        return settings.of_source(name, self.given)


@dataclass(frozen=True)
class SourceTable:
    """One `[sources.NAME]` table, before its settings are read."""

    name: str
    kind: SourceKind
    prefix: str

    @property
    def variables(self) -> dict[str, str]:
        """The fields that its settings stand for, by the name of the variable."""
        usual = self.kind.settings.lower()
        return {self.prefix + name.removeprefix(usual).upper(): name for name in source_fields(usual)}

    def read(self, where: str, settings: Settings) -> NamedSource:
        """Return the source with its settings.

        Args:
            where: names the table, for errors.

        Raises:
            ConfigError: none of its settings is given, or one has a form that cannot be used.
        """
        every, variables = given_variables(settings.env_file), self.variables
        given = {name: every[variable] for variable, name in variables.items() if variable in every}
        if not given:
            near = difflib.get_close_matches(next(iter(variables)), list(every), n=1, cutoff=0.8)
            raise ConfigError(
                f"{where}: none of its settings is set"
                + (f", but {near[0]} is. Did you mean the prefix of that?" if near else ""),
                f"Set {', '.join(variables)} in the environment or the --env file, as far as the source needs them",
            )
        try:
            read = Settings(**given)
        except ValidationError as error:
            named = {name: variable for variable, name in variables.items()}
            faults = "; ".join(f"{named.get(name, name)}{fault}" for name, fault in faults_by_name(error).items())
            # No traceback may show the given values: one may be a secret.
            raise ConfigError(
                f"{where}: settings that cannot be used: {faults}", "Fix them in the environment or the --env file"
            ) from None
        return NamedSource(self.name, self.kind, self.prefix, read)


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
                    f"{path}: sources.{name}.prefix: {variable} is a setting of {taken[variable]} already",
                    "Choose another prefix",
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
        if key not in ("kind", "prefix"):
            near = difflib.get_close_matches(key, ("kind", "prefix"), n=1)
            raise ConfigError(
                f"{where}: {key} is not a key of this table" + (f". Did you mean {near[0]}?" if near else ""),
                "Give it a kind, and a prefix if its settings do not begin with its name",
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
    return SourceTable(name, kind, prefix)
