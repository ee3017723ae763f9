"""Open an HTTP API as a source; see `adventure.sources.kind`."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from adventure.core.extras import naming_extra
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.sources.source import Source

if TYPE_CHECKING:
    from adventure.sources.probe import Probe
    from adventure.sources.side import SourceSide

_WHAT = "A stream of an HTTP API"


def open_source(settings: Settings, retry_for: float | None) -> Source:
    """Prepare extracts. The first request is sent by the first of them."""
    with naming_extra(_WHAT):
        from adventure.sources.http.source import HttpSource

    return HttpSource(settings, retry_for)


def open_side(
    settings: Settings, stream: Stream, *, rows: bool, mark: Watermark | None
) -> "AbstractContextManager[SourceSide]":
    """Prepare a comparison of the stream with the warehouse."""
    with naming_extra(_WHAT):
        from adventure.sources.http.reconcile import HttpSide

    return HttpSide.open(settings, stream, rows=rows)


def open_probe(settings: Settings, *, brief: bool) -> "AbstractContextManager[Probe]":
    """Prepare the questions of `status` and `check`."""
    with naming_extra(_WHAT):
        from adventure.sources.http.probe import HttpProbe

    return HttpProbe.open(settings, brief=brief)
