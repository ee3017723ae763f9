"""What `adventure init` learns of a table or collection of a live database: how to read it, and why."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from adventure.core.streams import APPEND

Form = Literal["plain", "text", "integer", "double", "boolean", "timestamp", "json"]
"""How a model reads a column: as it is; or, out of a document, as a value of this kind."""


@dataclass(frozen=True)
class ProposedColumn:
    """One column, or one field of a collection's documents."""

    name: str
    type: str
    """As the source names it."""
    form: Form = "plain"
    comment: str = ""
    """What the source's own catalogue says of it."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """How to read one table or collection. Each proposal equals only itself."""

    source: str
    """The name of its kind."""
    namespace: str
    table: str
    columns: Sequence[ProposedColumn]
    key: tuple[str, ...]
    """Empty if no key identifies a row."""
    cursor: str | None
    """None for a snapshot."""
    options: Mapping[str, str | int] = field(default_factory=dict)
    """Further keys of the stream in pipeline.toml."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why, by the key in pipeline.toml."""
    comment: str = ""
    """What the source's own catalogue says of the table."""

    @property
    def version(self) -> str | None:
        """The cursor, if it tells the versions of a row apart; None if the reader adds a column that does."""
        return None if self.options.get("mode") == APPEND else self.cursor

    @property
    def location(self) -> str:
        """The table as `namespace.table`."""
        return f"{self.namespace}.{self.table}"


@dataclass(frozen=True)
class Unmovable:
    """A table or collection for which no stream is proposed."""

    location: str
    reason: str


def is_name_of_cursor(name: str) -> bool:
    """Return whether a column's name says that it changes with every update."""
    return bool(re.search(r"update|modif|chang", name.lower()))
