"""`adventure stream reset`: read a stream again, from its beginning or from a chosen point."""

from datetime import datetime

from adventure.core.clock import utc_now
from adventure.core.errors import ConfigError
from adventure.core.ids import Kind, Position
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.factory import open_stage
from adventure.processor.owner import owner_of
from adventure.processor.state import State


def reset_stream(settings: Settings, stream: Stream, at: datetime | None, *, from_id: str | None = None) -> None:
    """Set the stream's watermark to `at`, or remove it; the next cycle reads from there.

    The new watermark belongs to the stream's current source, table and stage. Staged windows stay and are loaded; rows
    that are read again are further versions of the same keys.

    Args:
        at: a cursor; None for the beginning.
        from_id: the same for a stream in append mode.

    Raises:
        AlreadyRunning: a processor holds the stream.
        ConfigError: `at` or `from_id` lies above what was read, so that rows would be skipped; or the latter is no id.
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
        position = None
        if from_id:
            at, position = mark.value if mark else utc_now(), _position(stream, from_id, mark)
        staged_until = max((window.staged_at for window in stage.windows(stream.stage)), default=datetime.min)
        state.reset(stream, at, owner_of(stream, stage.identity()), staged_until, position)


def _position(stream: Stream, value: str, mark: Watermark | None) -> str:
    kind = Kind.of_text(value)
    try:
        below = kind.number(value)
    except ValueError as error:
        raise ConfigError(
            f"{value!r} is no id, and {stream.name} is read by {stream.append_by}", "Give an id"
        ) from error
    read = Position.of(mark, kind).below
    if read is not None and below > read:
        raise ConfigError(
            f"{stream.name} is read up to {kind.text(read - 1)}: from {value} on, the rows between would be skipped",
            f"Give an id up to {kind.text(read)}",
        )
    return Position(below).to_text(kind)
