"""Base of the classes that read and write tables of the warehouse through SQL that both warehouses understand.

"ROWS" and "ROW" are quoted and in upper case because Snowflake reserves the words; DuckDB ignores the case.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any


class SqlExecutor(ABC):
    """Runs SQL."""

    @abstractmethod
    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement with values for its question marks and return its rows."""
