"""`adventure stream reset`: read a stream again, from its beginning or from a chosen point."""

from datetime import datetime

from adventure.core.errors import ConfigError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.factory import open_stage
from adventure.processor.owner import owner_of
from adventure.processor.state import State


def reset_stream(settings: Settings, stream: Stream, at: datetime | None) -> None:
    """Set the stream's watermark to `at`, or remove it; the next cycle reads from there.

    The new watermark belongs to the stream's current source, table and stage. Staged windows stay and are loaded; rows
    that are read again are further versions of the same keys.

    Args:
        at: a cursor; None for the beginning.

    Raises:
        AlreadyRunning: a processor holds the stream.
        ConfigError: `at` lies above the watermark, so that rows would be skipped.
        SourceError: the state database does not answer, or refuses.
    """
    stage = open_stage(settings)
    with State(settings, [stream]) as state:
        mark = state.watermarks.get(stream.name)
        if at and mark and at > mark.value:
            raise ConfigError(
                f"{stream.name} is read up to {mark.value}: from {at} on, the rows between would be skipped",
                f"Give a time up to {mark.value.isoformat()}",
            )
        staged_until = max((window.staged_at for window in stage.windows(stream.stage)), default=datetime.min)
        state.reset(stream, at, owner_of(stream, stage.identity()), staged_until)
