"""The session that extracts: rows by COPY in the server's binary format, decoded into Arrow by ADBC.

It uses the driver's low-level interface: the dbapi module imports pyarrow.dataset, and that imports pandas wherever it
is installed, which costs a quarter of a second and 50 MB.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import adbc_driver_manager
import adbc_driver_postgresql
import pyarrow as pa
from psycopg.conninfo import conninfo_to_dict

from adventure.core.connect import postgres_error, postgres_silent
from adventure.core.errors import SourceError
from adventure.core.stopping import cancelling
from adventure.sources.postgres.record_batches import record_batches
from adventure.sources.postgres.silence import Sockets
from adventure.sources.prefetch import prefetch

BYTES_A_BATCH = 2 << 20
"""Rows come in batches of about this size: smaller ones cost time, larger ones memory."""

CANCEL_SEC = 1.0
"""How long a cancelled statement may take to end: less than `stopping` grants for it."""


class CopySession:
    """A connection. Outside `transaction` it is in autocommit: an open transaction would hold back the horizon.

    Args:
        conninfo: a libpq connection string with one host and a port.
        name: names the database in errors.
        silence: seconds after which a call that has heard nothing ends with SourceUnavailable.

    Raises:
        SourceError: from every method; the server is away, refuses, or failed.
    """

    def __init__(self, conninfo: str, name: str, silence: float) -> None:
        self._conninfo, self._name = conninfo, name
        self._sockets = Sockets(int(conninfo_to_dict(conninfo)["port"] or 5432), silence)
        with self._translating(), self._call():
            self._database = adbc_driver_postgresql.connect(conninfo)
            try:
                self._connection = adbc_driver_manager.AdbcConnection(self._database)
            except BaseException:
                self._database.close()
                raise

    def close(self) -> None:
        """Ends the connection; one that is lost already is no error."""
        for each in (self._connection, self._database):
            with suppress(adbc_driver_manager.Error), self._call():
                each.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction with one snapshot, which is rolled back: nothing is ever written here.

        A statement begins it: in a transaction of the driver's own no statement can follow one that failed, not even
        `rollback to savepoint`.
        """
        self.execute("begin isolation level repeatable read read only")
        try:
            yield
        except BaseException:
            # The connection may be lost: the first error says why, and must not be replaced by a second one.
            with suppress(SourceError):
                self.execute("rollback")
            raise
        self.execute("rollback")

    def execute(self, statement: str) -> None:
        """Runs a statement that has no result."""
        with self._statement(statement) as prepared, self._sockets.one_call():
            prepared.execute_update()

    @contextmanager
    def batches(self, query: str) -> Iterator[Iterator[pa.RecordBatch]]:
        """The rows of the query, fetched ahead of their use. The query is cancelled when the block ends early."""
        with self._statement(query) as prepared:

            def fetch() -> Iterator[pa.RecordBatch]:
                with self._sockets.one_call():
                    reader = record_batches(prepared)
                while True:
                    with self._sockets.one_call():
                        batch = next(reader, None)
                    if batch is None:
                        return
                    yield batch

            prepared.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BYTES_A_BATCH)})
            with prefetch(fetch(), lambda: self._cancel(prepared)) as batches:
                yield batches

    @contextmanager
    def _call(self) -> Iterator[None]:
        """Around a call that is no statement, which only the end of the connection interrupts."""
        with self._sockets.one_call(), cancelling(self._sockets.end):
            yield

    def _cancel(self, statement: adbc_driver_manager.AdbcStatement) -> None:
        """Ends the statement under way; where the server does not end it soon, the connection with it."""
        self._sockets.hurry(CANCEL_SEC)
        with suppress(adbc_driver_manager.Error), self._sockets.one_call(CANCEL_SEC):
            statement.cancel()

    @contextmanager
    def _statement(self, text: str) -> Iterator[adbc_driver_manager.AdbcStatement]:
        with (
            self._translating(),
            adbc_driver_manager.AdbcStatement(self._connection) as statement,
            cancelling(lambda: self._cancel(statement)),
        ):
            statement.set_sql_query(text)
            yield statement

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """Turns the driver's errors into the error tree's."""
        try:
            yield
        except adbc_driver_manager.Error as error:
            if self._sockets.shut_down:
                raise postgres_silent(self._conninfo, self._name, self._sockets.seconds) from error
            lost = isinstance(error, adbc_driver_manager.OperationalError)
            raise postgres_error(error, self._conninfo, self._name, lost=lost) from error
