"""Wait between two rounds of the task server, and end the wait when new windows were staged."""

import threading
import time
from collections.abc import Sequence

from adventure.core.stage import Stage
from adventure.core.streams import Stream

LOOK_SEC = 0.1
"""Time between two looks at the stages. A round begins when no more windows came between two looks: a cycle stages the
windows of all its streams within a moment, and one round then loads them together."""


def staged(stage: Stage, streams: Sequence[Stream]) -> frozenset[tuple[str, str]]:
    """Return stage and id of each window that exists; none if one cannot be listed: the next round reports it."""
    try:
        return frozenset((each.stage, window_id) for each in streams for window_id in stage.window_ids(each.stage))
    except OSError:
        return frozenset()


def wait_for_windows(
    stage: Stage,
    streams: Sequence[Stream],
    known: frozenset[tuple[str, str]],
    seconds: float,
    stop: threading.Event,
) -> None:
    """Return when there are windows that are not in `known`, after that many seconds, or when `stop` is set.

    A window that cannot be loaded stays in its stage. It is known to the next wait and does not end that one.
    """
    # The first look: windows that came during the round then need only one more.
    ends_at, last = time.monotonic() + seconds, staged(stage, streams)
    while (left := ends_at - time.monotonic()) > 0 and not stop.wait(min(LOOK_SEC, left)):
        now = staged(stage, streams)
        if now == last and now - known:
            return
        last = now
