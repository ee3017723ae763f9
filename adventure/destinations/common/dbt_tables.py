"""The types of a query's columns, found by objects that are made once in a thread.

For each answer that dbt reads, it makes the objects that recognise numbers and dates again; two of them compile 25
regular expressions.
"""

import threading
from collections.abc import Iterable
from typing import Any

_made = threading.local()
"""They keep state while they read a value, so each thread has its own."""


def replacements() -> list[tuple[Any, str, Any]]:
    """Return dbt's function that makes them, with ours; see `dbt_patches`."""
    from dbt_common.clients import agate_helper

    return [(agate_helper, "build_type_tester", _remembering(agate_helper.build_type_tester))]


def _remembering(build: Any) -> Any:
    def build_type_tester(text_columns: Iterable[str], string_null_values: Any = ("null", "")) -> Any:
        key = frozenset(text_columns), tuple(string_null_values)
        testers = _made.__dict__.setdefault("testers", {})
        if key not in testers:
            testers[key] = build(*key)
        return testers[key]

    return build_type_tester
