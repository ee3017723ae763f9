"""Events of dbt that nobody reads cost as little as possible.

dbt fires some dozen debug events for each model and test, builds a message of each, and only then asks whether any log
wants it. Our log of dbt takes information, warnings and errors.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_WANTED = "NodeFinished"
"""The only debug event that a build listens to."""
_GIVEN = "_adventure_given"


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


def replacements() -> list[tuple[Any, str, Any]]:
    """Return what builds an event's message, with ours, which builds it when it is read; see `dbt_patches`."""
    from dbt_common.events.base_types import BaseEvent

    if not hasattr(BaseEvent, "pb_msg"):
        # It stays: an event may be read after the block in which it was made.
        BaseEvent.pb_msg = _BuiltWhenRead(BaseEvent.__init__)
    return [(BaseEvent, "__init__", _keep_given)]


def _keep_given(self: Any, *args: Any, **kwargs: Any) -> None:
    # dbt sets other attributes of an event on its message.
    self.__dict__[_GIVEN] = args, kwargs


class _BuiltWhenRead:
    """An event's message. Python asks it for the message until the event itself has one."""

    def __init__(self, build: Any) -> None:
        self._build = build

    def __get__(self, event: Any, _owner: Any = None) -> Any:
        kept = {} if event is None else event.__dict__
        if given := kept.get(_GIVEN):
            args, kwargs = given
            # Two threads may build it at the same time, which does no harm.
            self._build(event, *args, **kwargs)
            kept.pop(_GIVEN, None)
        if "pb_msg" not in kept:
            raise AttributeError("pb_msg")
        return kept["pb_msg"]
