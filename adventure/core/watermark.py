"""How far a stream has been read."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Watermark:
    """How far one stream is. Timestamps are naive UTC."""

    stream: str
    value: datetime
    """Every row below it was read."""
    horizon: datetime
    """The source's horizon when the watermark moved last."""
    mode: str
    """How the source was read last: `horizon`, `change stream`, or `lookback` with the reason."""
    updated_at: datetime
    position: str | None = None
    """Where the source reads on, for a source that has more to say than the watermark does."""
    window_id: str = ""
    """The window that moved it here; empty after a reset."""
