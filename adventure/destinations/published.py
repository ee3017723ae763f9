"""Interface of a published dataset: what the dashboard reads.

Each warehouse publishes the same tables, so the dashboard asks each the same questions: SQL that both speak, values
bound with `?`, and names that Snowflake reserves quoted and in upper case ("ROWS"), which DuckDB accepts.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd

Query = Callable[[str, Sequence[object]], "pd.DataFrame"]
"""Answers a statement with its bound values; decimals stay decimals."""

Identity = tuple[object, ...]


class Copy(Protocol):
    """Something published: what sales look like, or what the pipeline says of itself."""

    @property
    def name(self) -> str:
        """Tells it from others."""

    @property
    def is_metered(self) -> bool:
        """Whether each question costs credits, which the pipeline then says something of."""

    def identity(self) -> Identity | None:
        """What changes with each publication; None when there is none yet."""

    def published_at(self) -> datetime | None:
        """When the newest was published, in naive UTC."""

    def query(self, statement: str, values: Sequence[object] = ()) -> "pd.DataFrame":
        """See `Query`.

        Raises:
            WarehouseError: it is damaged, or made by another version of Adventure.
        """
