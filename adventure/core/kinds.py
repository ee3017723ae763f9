"""The kinds of sources and warehouses: where the code of each is, and what all other modules need to know of it.

A kind is a folder with a module `kind`, whose functions `adventure.factory` calls, and one entry here. No other module
compares the name of a kind.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceKind:
    """A kind of source."""

    name: str
    """As `source` in pipeline.toml has it."""
    title: str
    """As people write it."""
    module: str
    """Imported when a source of this kind is opened: see `adventure.sources.kind`."""
    settings: str = ""
    """How the names of its settings begin. Other sources of the kind have settings with a prefix of their own."""
    url_setting: str = ""
    """The setting that holds a whole address, in whose place `dsn` in pipeline.toml names a variable. PostgreSQL's is
    no setting: see `Settings.at_postgres`."""
    in_url: tuple[str, ...] = ()
    """Settings whose values an address holds: where there is one, errors name it instead of these."""
    address: str = ""
    """An example of the addresses that `adventure init` accepts; empty if it proposes no streams of this kind."""
    password_setting: str = ""
    """The setting for which `adventure init` asks where an address has no password."""
    documents: bool = False
    """A row is one JSON document, in the column `raw`; else each column of the source is one of the raw table."""
    modes: tuple[str, ...] = ()
    """The values that `mode` may have in pipeline.toml; none if its streams are always read in the way that fits."""
    one_snapshot: bool = False
    """All of its streams are read in one snapshot, so that one may refer to another."""
    zoneless_cursors: bool = False
    """A cursor may carry no time zone; then the stream can name one."""
    api: bool = False
    """Its streams have a table `api` (`adventure.core.api`), and need a lookback."""
    lookback_remedy: str | None = None
    """What to do where a stream is read by lookback. None where that is the usual way, and no problem."""


@dataclass(frozen=True)
class WarehouseKind:
    """A kind of warehouse, with its stage and what it publishes."""

    name: str
    """As WAREHOUSE has it."""
    module: str
    """Imported when one is opened: see `adventure.destinations.kind`."""
    extra: str = ""
    """The extra of the distribution that brings its packages; "" if there is none."""
    publishes_file: bool = True
    """It publishes the marts as a DuckDB file, `Settings.published_path`."""
    whole_rows: bool = True
    """It can compare whole rows with the source, by the hashes of all columns."""
    delta_encodings: bool = True
    """It reads Parquet's delta encodings, which take less time and space."""
    interval_setting: str = ""
    """The setting with the shortest interval of the processor, where each window costs calls and loads are rare."""


SOURCES: dict[str, SourceKind] = {
    kind.name: kind
    for kind in (
        SourceKind(
            "postgres",
            "PostgreSQL",
            "adventure.sources.postgres.kind",
            "POSTGRES_",
            url_setting="postgres_url",
            in_url=(
                "postgres_host",
                "postgres_port",
                "postgres_db",
                "postgres_user",
                "postgres_password",
                "postgres_sslmode",
            ),
            address="postgresql://user@host:5432/database",
            password_setting="postgres_password",
            modes=("cursor", "log", "append", "snapshot"),
            one_snapshot=True,
            zoneless_cursors=True,
            lookback_remedy="Grant the reader's role pg_read_all_stats, or finish the prepared transaction",
        ),
        SourceKind(
            "mongo",
            "MongoDB",
            "adventure.sources.mongo.kind",
            "MONGO_",
            url_setting="mongo_uri",
            in_url=("mongo_host", "mongo_port"),
            address="mongodb://host:27017",
            documents=True,
        ),
        SourceKind(
            "http",
            "an HTTP API",
            "adventure.sources.http.kind",
            "API_",
            url_setting="api_url",
            documents=True,
            api=True,
        ),
    )
}

WAREHOUSES: dict[str, WarehouseKind] = {
    kind.name: kind
    for kind in (
        WarehouseKind("duckdb", "adventure.destinations.duckdb.kind", "warehouse"),
        # Its manual speaks of the first version of Parquet's writer, which has no delta encodings.
        WarehouseKind(
            "snowflake",
            "adventure.destinations.snowflake.kind",
            "snowflake",
            publishes_file=False,
            whole_rows=False,
            delta_encodings=False,
            interval_setting="snowflake_interval_sec",
        ),
    )
}


def check_kind(name: str, kinds: dict[str, SourceKind] | dict[str, WarehouseKind]) -> str:
    """Return the name.

    Raises:
        ValueError: none of these kinds has it; lists those that there are.
    """
    if name not in kinds:
        raise ValueError(f"must be {' or '.join(map(repr, kinds))}")
    return name
