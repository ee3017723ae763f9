"""The session that extracts rows: COPY in the server's binary format, decoded into Arrow.

What both decoders keep: `copy_adbc` and `copy_decoder`, of which `copy_session` chooses one.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from types import MappingProxyType

import pyarrow as pa

from adventure.core.errors import SourceError

BYTES_A_BATCH = 2 << 20
"""The approximate size of a batch: smaller ones cost time, larger ones memory."""

CANCEL_SEC = 1.0
"""How long a cancelled statement may take to end; shorter than the time that `stopping` allows."""

NO_DECIMALS: Mapping[str, pa.Decimal128Type] = MappingProxyType({})


class CopySession(ABC):
    """A connection. Outside `transaction` it is in autocommit: an open transaction would hold back the horizon.

    Raises:
        SourceError: from every method; the server does not answer, refuses, or failed.
    """

    @abstractmethod
    def close(self) -> None:
        """Close the connection; a lost connection is no error."""

    @abstractmethod
    def execute(self, statement: str) -> None:
        """Run a statement that has no result."""

    @abstractmethod
    def batches(
        self, query: str, decimals: Mapping[str, pa.Decimal128Type] = NO_DECIMALS
    ) -> AbstractContextManager[Iterator[pa.RecordBatch]]:
        """Yield an iterator over the query's rows, with prefetch. Cancel the query if the block ends early.

        Args:
            decimals: for numeric columns, by name, the type that holds most values. A batch in which one does not fit
                has the whole column as text.
        """

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a read-only transaction with one snapshot for the block, and roll it back at the end.

        It begins by a statement of ours. In a transaction of ADBC's driver, no statement can follow one that failed,
        not even `rollback to savepoint`.
        """
        self.execute("begin isolation level repeatable read read only")
        try:
            yield
        except BaseException:
            # The connection may be lost, so the rollback may fail too. Keep the first error, which says why.
            with suppress(SourceError):
                self.execute("rollback")
            raise
        self.execute("rollback")
