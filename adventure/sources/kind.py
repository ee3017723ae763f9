"""Interface of the module `kind` of a source's folder: `adventure.factory` calls its functions.

The module itself imports no driver; its functions do.
"""

from contextlib import AbstractContextManager
from typing import Protocol

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.sources.probe import Probe
from adventure.sources.side import SourceSide
from adventure.sources.source import Source


class SourceModule(Protocol):
    """See `adventure.factory` for what the functions do."""

    def open_source(self, settings: Settings, retry_for: float | None) -> Source:
        """Connect for extracts."""

    def open_side(
        self, settings: Settings, stream: Stream, *, rows: bool, mark: Watermark | None
    ) -> AbstractContextManager[SourceSide]:
        """Connect for a comparison of the stream with the warehouse."""

    def open_probe(self, settings: Settings, *, brief: bool) -> AbstractContextManager[Probe]:
        """Connect for the questions of `status` and `check`."""


class ProposingModule(SourceModule, Protocol):
    """The module of a kind with an `address`: `adventure init` asks such a source for its tables."""

    def address_settings(self, address: str) -> dict[str, str]:
        """Return the settings that an address holds, by field."""
