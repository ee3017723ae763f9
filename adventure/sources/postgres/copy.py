"""The session that extracts: rows by COPY in the server's binary format, decoded into Arrow by ADBC.

It stands on the driver's low-level interface: the dbapi module imports pyarrow.dataset, and that pandas wherever it is
installed, which costs a quarter of a second and 50 MB. This room must not know streams.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import adbc_driver_manager
import adbc_driver_postgresql
import pyarrow as pa
from adbc_driver_manager._reader import AdbcRecordBatchReader

from adventure.core.connect import postgres_error
from adventure.core.errors import SourceError, SourceUnavailable
from adventure.core.stopping import cancelling
from adventure.sources.prefetch import reading_ahead

BYTES_A_BATCH = 2 << 20
"""Rows come in batches of about this size: smaller ones cost time, larger ones memory."""


class CopySession:
    """A connection. Outside of `transaction` it stands in none: an open one holds back everybody's horizon.

    Args:
        conninfo: a libpq connection string.
        name: what this database is to the reader of an error.

    Raises:
        SourceError: from every method; the server is away, refuses, or failed.
    """

    def __init__(self, conninfo: str, name: str) -> None:
        self._conninfo, self._name = conninfo, name
        with self._translating():
            self._database = adbc_driver_postgresql.connect(conninfo)
            self._connection = adbc_driver_manager.AdbcConnection(self._database)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction, which is rolled back: nothing is ever written here."""
        with self._translating():
            self._connection.set_autocommit(False)
        try:
            yield
        except BaseException:
            # It may be the connection that failed: what is to be told is why.
            with suppress(adbc_driver_manager.Error):
                self._end_transaction()
            raise
        with self._translating():
            self._end_transaction()

    def execute(self, statement: str) -> None:
        """Runs what has no result."""
        with self._statement(statement) as prepared:
            prepared.execute_update()

    @contextmanager
    def batches(self, query: str) -> Iterator[Iterator[pa.RecordBatch]]:
        """What the query gives, fetched ahead of whoever takes it. Left early, it is cancelled."""
        with self._statement(query) as prepared:

            def fetch() -> Iterator[pa.RecordBatch]:
                stream, _ = prepared.execute_query()
                yield from AdbcRecordBatchReader._import_from_c(stream.address)

            prepared.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BYTES_A_BATCH)})
            with reading_ahead(fetch(), prepared.cancel) as batches:
                yield batches

    def _end_transaction(self) -> None:
        self._connection.rollback()
        self._connection.set_autocommit(True)

    @contextmanager
    def _statement(self, text: str) -> Iterator[adbc_driver_manager.AdbcStatement]:
        with (
            self._translating(),
            adbc_driver_manager.AdbcStatement(self._connection) as statement,
            cancelling(statement.cancel),
        ):
            statement.set_sql_query(text)
            yield statement

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """Turns the driver's errors into the error tree's."""
        try:
            yield
        except adbc_driver_manager.Error as error:
            translated = postgres_error(error, self._conninfo, self._name)
            if not error.sqlstate and type(translated) is SourceError:
                raise SourceUnavailable(translated.problem, "Check that it runs, and the host and port") from error
            raise translated from error
