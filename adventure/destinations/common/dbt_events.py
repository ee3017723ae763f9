"""Events of dbt that nobody reads cost as little as possible.

dbt fires some dozen debug events for each model and test, builds a message of each, and only then asks whether any log
wants it. Our log of dbt takes information, warnings and errors.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_WANTED = "NodeFinished"
"""The only debug event that a build listens to."""


@contextmanager
def without_debug_events() -> Iterator[None]:
    """Let dbt drop its debug events in the block, except the end of a model or test."""
    from dbt_common.events import event_manager_client as client
    from dbt_common.events.base_types import EventLevel
    from dbt_common.events.event_manager import EventManager

    class Quiet(EventManager):
        def fire_event(
            self, e: Any, level: Any = None, node: Any = None, force_warn_or_error_handling: bool = False
        ) -> None:
            is_debug = (level or e.level_tag()) == EventLevel.DEBUG
            if force_warn_or_error_handling or not is_debug or type(e).__name__ == _WANTED:
                super().fire_event(e, level, node, force_warn_or_error_handling)

    before = client.get_event_manager()
    client.ctx_set_event_manager(Quiet())
    try:
        yield
    finally:
        client.ctx_set_event_manager(before)
