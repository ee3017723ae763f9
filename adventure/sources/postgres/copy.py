"""The session that extracts rows: COPY in the server's binary format, decoded into Arrow.

There are two decoders. ADBC's driver comes with Adventure. The one in the wheel adventure-pipeline-decoder takes a part
of its time, and is used where it is installed; see `decoder`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from types import MappingProxyType

import pyarrow as pa

from adventure.core.errors import SourceError
from adventure.core.log import get_logger
from adventure.core.source_name import SourceName
from adventure.sources.postgres import decoder

BYTES_A_BATCH = 2 << 20
"""The approximate size of a batch: smaller ones cost time, larger ones memory."""

CANCEL_SEC = 1.0
"""How long a cancelled statement may take to end; shorter than the time that `stopping` allows."""

log = get_logger()

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


def open_copy_session(conninfo: str, name: str | SourceName, silence: float) -> CopySession:
    """Connect, with the faster decoder if it is installed.

    Args:
        conninfo: a libpq connection string with one host and a port.
        name: the name of the database in errors.
        silence: seconds without an answer after which a call ends with SourceUnavailable.

    Raises:
        SourceError: the server does not answer, or refuses.
    """
    # Each imports what the other does not need.
    if decoder.is_installed():
        log.debug("PostgreSQL's rows are decoded by adventure-pipeline-decoder")
        from adventure.sources.postgres.copy_decoder import DecoderSession

        return DecoderSession(conninfo, name, silence)
    log.debug("PostgreSQL's rows are decoded by ADBC")
    from adventure.sources.postgres.copy_adbc import AdbcSession

    return AdbcSession(conninfo, name, silence)
