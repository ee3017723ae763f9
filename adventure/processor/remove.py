"""`adventure stream remove`: forget how far a stream was read, and what its source keeps for it."""

from collections.abc import Iterator

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.factory import open_source
from adventure.processor.state import State


def remove_stream(settings: Settings, stream: Stream) -> Iterator[str]:
    """Remove the stream's watermark, and what no other stream needs at its source; yield what was done.

    Staged windows and the raw table stay.

    Raises:
        AlreadyRunning: a processor holds the stream.
        SourceError: the source or the state database does not answer, or refuses.
    """
    with State(settings, [stream]) as state:
        known = stream.name in state.watermarks
        state.remove(stream)
        yield f"{stream.name}: removed its watermark" if known else f"{stream.name}: had no watermark"
        source = open_source(stream.opens, settings)
        try:
            yield from (f"{stream.name}: {said}" for said in source.release(state.watermarks))
        finally:
            source.close()
    yield f"Remove [streams.{stream.name}] from pipeline.toml, else the next cycle reads the stream from its beginning"
