"""Open MongoDB as a source; see `adventure.sources.kind`."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.sources.source import Source

if TYPE_CHECKING:
    from adventure.sources.probe import Probe
    from adventure.sources.side import SourceSide


def address_settings(address: str) -> dict[str, str]:
    """Return the settings that a URI holds."""
    return {"mongo_uri": address}


def open_source(settings: Settings, retry_for: float | None) -> Source:
    """Connect for extracts."""
    from adventure.sources.mongo.source import MongoSource

    return MongoSource(settings, retry_for)


def open_side(
    settings: Settings, stream: Stream, *, rows: bool, mark: Watermark | None
) -> "AbstractContextManager[SourceSide]":
    """Connect for a comparison of the stream with the warehouse."""
    from adventure.sources.mongo.reconcile import MongoSide

    return MongoSide.open(settings, stream, rows=rows)


def open_probe(settings: Settings, *, brief: bool) -> "AbstractContextManager[Probe]":
    """Connect for the questions of `status` and `check`."""
    from adventure.sources.mongo.probe import MongoProbe

    return MongoProbe.open(settings, brief=brief)
