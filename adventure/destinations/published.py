"""The interface of a published dataset, which the dashboard reads.

Both warehouses publish the same tables, and the dashboard's SQL runs on both: values are bound with `?`, and names that
Snowflake reserves are quoted and in upper case ("ROWS").
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

Query = Callable[[str, Sequence[object]], "pd.DataFrame"]
"""Runs a statement with values for its question marks. Decimals stay decimals."""

Version = tuple[object, ...]
"""A value that changes with every publication."""


class PublishedDataset(Protocol):
    """The published marts, or the published state of the pipeline."""

    @property
    def name(self) -> str:
        """Return its unique name."""

    @property
    def is_metered(self) -> bool:
        """Return whether each query costs credits. The pipeline then publishes the credits used."""

    def version(self) -> Version | None:
        """Return a value that changes with every publication; None before the first one."""

    def published_at(self) -> datetime | None:
        """Return when the latest publication was made, in naive UTC; None before the first one."""

    def query(self, statement: str, values: Sequence[object] = ()) -> "pd.DataFrame":
        """Run a statement with values for its question marks; see `Query`.

        Raises:
            WarehouseError: the dataset cannot be read, or was published by another version of Adventure.
        """

    def rows(self, statement: str) -> "list[tuple[Any, ...]]":
        """Run a statement and return its rows.

        Raises:
            WarehouseError: see `query`.
        """
