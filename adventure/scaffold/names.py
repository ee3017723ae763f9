"""Names of streams and columns that need no quotes in either warehouse."""

import re
from collections.abc import Hashable, Sequence
from typing import TypeVar

from adventure.sources.proposal import Proposal

T = TypeVar("T", bound=Hashable)

_RESERVED = frozenset({
    "account", "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "between", "both",
    "by", "case", "cast", "check", "collate", "column", "connect", "connection", "constraint", "create",
    "cross", "current", "current_date", "current_time", "current_timestamp", "current_user", "database",
    "default", "deferrable", "delete", "desc", "describe", "distinct", "do", "drop", "else", "end", "except",
    "exists", "false", "fetch", "following", "for", "foreign", "from", "full", "grant", "group", "gscluster",
    "having", "ilike", "in", "increment", "initially", "inner", "insert", "intersect", "into", "is", "issue",
    "join", "lambda", "lateral", "leading", "left", "like", "limit", "localtime", "localtimestamp", "minus",
    "natural", "not", "null", "of", "offset", "on", "only", "or", "order", "organization", "pivot", "placing",
    "primary", "qualify", "references", "regexp", "returning", "revoke", "right", "rlike", "row", "rows",
    "sample", "schema", "select", "set", "show", "some", "start", "summarize", "symmetric", "table",
    "tablesample", "then", "to", "trailing", "trigger", "true", "try_cast", "union", "unique", "unpivot",
    "update", "using", "values", "variadic", "view", "when", "whenever", "where", "window", "with",
})  # fmt: skip
"""Words that one of the warehouses reserves."""


def plain(name: str) -> str:
    """Return the name in lower case, as letters, digits and underscores, and no reserved word."""
    found = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_") or "x"
    if found[0].isdigit():
        found = f"x{found}"
    return f"{found}_" if found in _RESERVED else found


def needs_quotes(name: str) -> bool:
    """Return whether SQL must quote the name."""
    return plain(name) != name.lower()


def column_names(names: Sequence[str]) -> dict[str, str]:
    """Return a plain name for each column, all different."""
    return _unique({name: [plain(name)] for name in names})


def stream_names(proposals: Sequence[Proposal]) -> dict[Proposal, str]:
    """Return a name for each stream: that of its table; with its schema or database where two would have the same."""
    return _unique({each: [plain(each.table), plain(f"{each.namespace}_{each.table}")] for each in proposals})


def _unique(wishes: dict[T, list[str]]) -> dict[T, str]:
    taken: set[str] = set()
    chosen = {}
    for each, names in wishes.items():
        numbered = (f"{names[-1]}_{number}" for number in range(2, len(wishes) + 2))
        chosen[each] = next(name for name in (*names, *numbered) if name not in taken)
        taken.add(chosen[each])
    return chosen
