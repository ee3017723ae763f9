"""What dbt does in less CPU time with functions of ours, while Adventure runs it.

They give what dbt's own give, and replace them only in the versions of dbt-core that they were made for. With another
one, dbt does it all itself.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

_MADE_FOR = "1.11."

Replacement = tuple[Any, str, Any]
"""A class or module of dbt, the name of a function in it, and ours."""


@contextmanager
def quick_dbt() -> Iterator[None]:
    """Replace dbt's functions in the block."""
    from dbt.version import __version__

    with ExitStack() as undone:
        if __version__.startswith(_MADE_FOR):
            for owner, name, ours in _replacements():
                undone.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, ours)
        yield


def _replacements() -> list[Replacement]:
    from dbt.compilation import Linker

    from adventure.destinations.common import dbt_contexts, dbt_events, dbt_macros, dbt_tables

    found = [*dbt_contexts.replacements(), *dbt_events.replacements(), *dbt_tables.replacements()]
    # Nobody reads the file graph_summary.json, for which dbt makes a dictionary of each node, twice in a build.
    return [*found, *dbt_macros.replacements(), (Linker, "get_graph_summary", lambda _self, _manifest: {})]
