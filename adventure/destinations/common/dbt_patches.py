"""What dbt does in less CPU time with functions of ours, while Adventure runs it.

They give what dbt's own give, and replace them only in the versions of dbt that they were made for. With another one,
dbt does it all itself.
"""

import inspect
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import Any

_MADE_FOR = {"dbt-core": "1.11.", "dbt-common": "1.39."}
_alone = threading.RLock()
"""A block that began within another thread's would put back what that one has replaced."""

Replacement = tuple[Any, str, Any]
"""A class or module of dbt, the name of a function in it, and ours."""


@contextmanager
def quick_dbt() -> Iterator[None]:
    """Replace dbt's functions in the block."""
    with _alone, ExitStack() as undone:
        if all(version(name).startswith(series) for name, series in _MADE_FOR.items()):
            for owner, name, ours in _replacements():
                undone.callback(_put_back, owner, name, vars(owner).get(name))
                setattr(owner, name, ours)
        yield


def _put_back(owner: Any, name: str, own: Any) -> None:
    if own is None:
        # A parent class has it.
        delattr(owner, name)
    else:
        setattr(owner, name, own)


def _replacements() -> list[Replacement]:
    from dbt.compilation import Linker
    from dbt_common.behavior_flags import BehaviorFlagRendered

    from adventure.destinations.common import dbt_contexts, dbt_events, dbt_macros, dbt_tables, dbt_templates

    modules = dbt_contexts, dbt_events, dbt_macros, dbt_tables, dbt_templates
    return [
        *(each for module in modules for each in module.replacements()),
        # Nobody reads the file graph_summary.json, for which dbt makes a dictionary of each node, twice in a build.
        (Linker, "get_graph_summary", lambda _self, _manifest: {}),
        (BehaviorFlagRendered, "_default_source", staticmethod(_caller)),
    ]


def _caller() -> str:
    """Return the module that asks for a behavior flag. dbt searches the source files of all running functions."""
    frame, passed = inspect.currentframe(), (__name__, "dbt_common.behavior_flags")
    while frame and frame.f_globals.get("__name__") in passed:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")) if frame else "Unknown"
