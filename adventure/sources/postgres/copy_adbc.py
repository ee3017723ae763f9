"""Copy rows by ADBC's driver, which decodes them into Arrow.

It uses the driver's low-level interface, because the dbapi module imports pyarrow.dataset, which imports pandas if it
is installed. That costs a quarter of a second and 50 MB.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import adbc_driver_manager
import adbc_driver_postgresql
import pyarrow as pa
from psycopg.conninfo import conninfo_to_dict

from adventure.core.connect import postgres_error, postgres_silent
from adventure.core.source_name import SourceName
from adventure.core.stopping import cancelling
from adventure.sources.postgres import copy
from adventure.sources.postgres.copy import CANCEL_SEC, NO_DECIMALS, CopySession
from adventure.sources.postgres.record_batches import record_batches
from adventure.sources.postgres.silence import Sockets
from adventure.sources.prefetch import prefetch


class AdbcSession(CopySession):
    """See `CopySession` and `open_copy_session`."""

    def __init__(self, conninfo: str, name: str | SourceName, silence: float) -> None:
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
        """See `CopySession`."""
        for each in (self._connection, self._database):
            with suppress(adbc_driver_manager.Error), self._call():
                each.close()

    def execute(self, statement: str) -> None:
        """See `CopySession`."""
        with self._statement(statement) as prepared, self._sockets.one_call():
            prepared.execute_update()

    @contextmanager
    def batches(
        self, query: str, decimals: Mapping[str, pa.Decimal128Type] = NO_DECIMALS
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        """See `CopySession`. `columns` selects numerics as text, which this driver decodes faster."""
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

            prepared.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(copy.BYTES_A_BATCH)})
            with prefetch(fetch(), lambda: self._cancel(prepared)) as batches:
                yield batches

    @contextmanager
    def _call(self) -> Iterator[None]:
        """Wrap a call that is not a statement. Only shutting the sockets down can interrupt it."""
        with self._sockets.one_call(), cancelling(self._sockets.end):
            yield

    def _cancel(self, statement: adbc_driver_manager.AdbcStatement) -> None:
        """Cancel the statement in progress. If the server does not end it soon, shut the connection down."""
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
        """Turn the driver's errors into those of the error tree."""
        try:
            yield
        except adbc_driver_manager.Error as error:
            if self._sockets.shut_down:
                raise postgres_silent(self._conninfo, self._name, self._sockets.seconds) from error
            lost = isinstance(error, adbc_driver_manager.OperationalError)
            raise postgres_error(error, self._conninfo, self._name, lost=lost) from error
