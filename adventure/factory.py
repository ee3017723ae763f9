"""Open the implementation that the settings and the streams name.

Which kinds there are is in `adventure.core.kinds`. The module of a kind is imported when one is opened, so that a kind
that is not used needs no package and costs no time.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, cast

from adventure.core.errors import AdventureError
from adventure.core.extras import naming_extra
from adventure.core.kinds import SOURCES, WAREHOUSES, SourceKind
from adventure.destinations.published import PublishedDataset

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from adventure.core.named_sources import NamedSource
    from adventure.core.settings import Settings
    from adventure.core.stage import Stage
    from adventure.core.streams import Stream
    from adventure.core.watermark import Watermark
    from adventure.destinations.kind import WarehouseModule
    from adventure.destinations.select import Bounds, Selected
    from adventure.destinations.warehouse import Warehouse
    from adventure.sources.kind import ProposingModule, SourceModule
    from adventure.sources.probe import Probe
    from adventure.sources.side import SourceSide
    from adventure.sources.source import Source

READS = "ADVENTURE_DASHBOARD_READS"
"""Environment variable of the dashboard's process: the kind of warehouse that it reads."""


def address_settings(kind: str, address: str) -> dict[str, str]:
    """Return the settings that an address of this kind of source holds, by field.

    Raises:
        ConfigError: it is no such address.
    """
    return cast("ProposingModule", _source(kind)).address_settings(address)


def open_source(source: "str | NamedSource", settings: "Settings", *, retry_for: float | None = None) -> "Source":
    """Return the source, connected.

    Args:
        source: the name of a kind, or a source with settings of its own; see `Stream.opens`.
        retry_for: seconds for which a source that does not answer is tried again.

    Raises:
        SourceError: it does not answer, or refuses.
    """
    return _source(source).open_source(_own(source, settings), retry_for)


@contextmanager
def importing(sources: "Iterable[str | NamedSource]") -> Iterator[None]:
    """Import on a thread what `open_source` needs for these sources, while the block waits for a disk or a database.

    An import that fails is repeated by `open_source`, which raises its error.
    """

    def import_all() -> None:
        for package in {_kind(source).module.rpartition(".")[0] for source in sources}:
            with suppress(ImportError, AdventureError):
                import_module(f"{package}.source")

    thread = threading.Thread(target=import_all, name="importing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def open_source_side(
    settings: "Settings", stream: "Stream", *, rows: bool = False, mark: "Watermark | None" = None
) -> "AbstractContextManager[SourceSide]":
    """Return the stream's source as a side of a comparison, with a connection of its own.

    Args:
        rows: whole rows are compared, not keys and cursors alone.
        mark: up to where the stream was read. Rows that cannot be told by their cursor are then in flight.

    Raises:
        SourceError: it does not answer, refuses, or is not what the stream says.
    """
    return _source(stream.opens).open_side(_own(stream.opens, settings), stream, rows=rows, mark=mark)


def open_probe(
    source: "str | NamedSource", settings: "Settings", *, brief: bool = False
) -> "AbstractContextManager[Probe]":
    """Return what `status` and `check` ask a source, with a connection of its own.

    Args:
        source: as in `open_source`.
        brief: try once to connect, for two seconds.

    Raises:
        SourceError: it does not answer, or refuses.
    """
    return _source(source).open_probe(_own(source, settings), brief=brief)


def open_stage(settings: "Settings") -> "Stage":
    """Return the stage that goes with the chosen warehouse."""
    return _warehouse(settings.warehouse).open_stage(settings)


def open_warehouse(settings: "Settings", *, retry_for: float | None = None) -> "Warehouse":
    """Return the chosen warehouse.

    Args:
        retry_for: how many seconds to wait for a DuckDB file that another command has open; default: a minute.

    Raises:
        ConfigError: a package that it needs is not installed.
    """
    with naming_extra(f"WAREHOUSE={settings.warehouse}", WAREHOUSES[settings.warehouse].extra):
        return _warehouse(settings.warehouse).open_warehouse(settings, retry_for=retry_for)


def select(settings: "Settings", statement: str, bounds: "Bounds") -> "Selected":
    """Return the columns and the first rows of a person's own SELECT on the published tables.

    Raises:
        AdventureError: the statement is refused or fails, nothing is published, or the warehouse does not answer.
    """
    with naming_extra(f"WAREHOUSE={settings.warehouse}", WAREHOUSES[settings.warehouse].extra):
        return _warehouse(settings.warehouse).select(settings, statement, bounds)


def sales_dialect(settings: "Settings") -> Mapping[str, str]:
    """Return the expressions of the checks of sales that the chosen warehouse writes in its own way."""
    return _warehouse(settings.warehouse).SALES_DIALECT


def validation_query(settings: "Settings", name: str) -> "Traversable":
    """Return a validation query in the chosen warehouse's SQL: `queries/<name>.sql` beside its module `kind`."""
    return files(WAREHOUSES[settings.warehouse].module.rpartition(".")[0]) / "queries" / f"{name}.sql"


def dashboard_environment(settings: "Settings") -> dict[str, str]:
    """Return the environment variables from which `open_sales` and `open_report` learn what to open."""
    return {READS: settings.warehouse} | _warehouse(settings.warehouse).dashboard_environment(settings)


def open_sales() -> PublishedDataset:
    """Return the published marts."""
    return _published().open_sales()


def open_report(settings: "Settings | None" = None) -> PublishedDataset:
    """Return the published report on the pipeline.

    Args:
        settings: where it is. The dashboard, which has none, reads its environment.
    """
    return _warehouse(settings.warehouse).open_report(settings) if settings else _published().open_report()


def _published() -> "WarehouseModule":
    return _warehouse(os.environ.get(READS) or next(iter(WAREHOUSES)))


def _source(source: "str | NamedSource") -> "SourceModule":
    return cast("SourceModule", import_module(_kind(source).module))


def _kind(source: "str | NamedSource") -> SourceKind:
    return SOURCES[source] if isinstance(source, str) else source.kind


def _own(source: "str | NamedSource", settings: "Settings") -> "Settings":
    return settings if isinstance(source, str) else source.settings(settings)


def _warehouse(kind: str) -> "WarehouseModule":
    return cast("WarehouseModule", import_module(WAREHOUSES[kind].module))
