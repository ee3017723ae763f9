"""Copy rows over psycopg's connection, and decode them by the wheel adventure-pipeline-decoder.

A COPY is driven by psycopg's low-level interface (`psycopg.pq`), because its own has a call of Python for each row.
"""

import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import adventure_decoder
import psycopg
import pyarrow as pa
from psycopg import errors, pq
from psycopg.pq.abc import PGresult

from adventure.core.connect import connect_postgres, postgres_error, postgres_silent, translating_postgres
from adventure.core.source_name import SourceName
from adventure.core.stopping import cancelling
from adventure.sources.postgres import copy
from adventure.sources.postgres.copy import CANCEL_SEC, NO_DECIMALS, CopySession
from adventure.sources.postgres.decoder import libpq_functions
from adventure.sources.prefetch import prefetch

KINDS = {
    16: "bool",
    21: "int2",
    23: "int4",
    20: "int8",
    700: "float4",
    701: "float8",
    1700: "numeric",
    25: "text",
    1043: "text",  # varchar
    1042: "text",  # char(n)
    19: "text",  # name
    17: "bytea",
    1082: "date",
    1114: "timestamp",
    2950: "uuid",
}
"""The decoder's kinds, by the types' fixed object ids. `columns` selects every other type as text."""

_CHECK_INTERVAL_SEC = 0.25
_A_SHORT_REST_SEC = 0.1
"""How long a result that is left early may still take before it is cancelled."""


@dataclass(frozen=True)
class _Batch:
    """What Arrow imports as a record batch, without copying it."""

    capsules: tuple[object, object]

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self.capsules


class _Silent(Exception):
    """Nothing came for too long. Internal to this module."""


class DecoderSession(CopySession):
    """See `CopySession` and `open_copy_session`."""

    def __init__(self, conninfo: str, name: str | SourceName, silence: float) -> None:
        self._conninfo, self._name, self._silence = conninfo, name, silence
        self._ends_at: float | None = None
        """When what is cancelled must have ended; None if nothing is cancelled."""
        self._connection = connect_postgres(conninfo, name=name, autocommit=True, retry_for=0, silence=silence)
        self._pgconn = self._connection.pgconn
        self._poll = select.poll()
        self._poll.register(self._pgconn.socket, select.POLLIN)

    def close(self) -> None:
        """See `CopySession`."""
        self._connection.close()

    def execute(self, statement: str) -> None:
        """See `CopySession`."""
        with self._translating(), self._call():
            self._pgconn.send_query(statement.encode())
            self._results()

    @contextmanager
    def batches(
        self, query: str, decimals: Mapping[str, pa.Decimal128Type] = NO_DECIMALS
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        """See `CopySession`."""
        with self._call(), prefetch(self._rows(query, decimals), self._cancel) as batches:
            yield batches

    @contextmanager
    def _call(self) -> Iterator[None]:
        """Wrap all that is sent and received for one statement. The next one can follow when the block ends."""
        self._ends_at = None
        with cancelling(self._cancel):
            try:
                yield
            finally:
                self._leave()

    def _rows(self, query: str, decimals: Mapping[str, pa.Decimal128Type]) -> Iterator[pa.RecordBatch]:
        with self._translating():
            columns = self._columns(query, decimals)
            if self._ends_at is not None:
                # The server had nothing to cancel yet.
                raise errors.QueryCanceled("The query was cancelled before it began")
            self._pgconn.send_query(f"COPY ({query}) TO STDOUT (FORMAT binary)".encode())
            self._result()
            yield from self._decoded(adventure_decoder.Decoder(columns))

    def _columns(self, query: str, decimals: Mapping[str, pa.Decimal128Type]) -> list[Any]:
        """Return the decoder's columns. The server describes the query without running it."""
        self._pgconn.send_prepare(b"", query.encode())
        self._results()
        self._pgconn.send_describe_prepared(b"")
        described = self._results()[0]
        columns: list[Any] = []
        for position in range(described.nfields):
            name = (described.fname(position) or b"").decode(errors="replace")
            if (kind := KINDS.get(described.ftype(position))) is None:
                raise ValueError(f"column {name}: nothing decodes the type {described.ftype(position)}")
            fits = decimals.get(name) if kind == "numeric" else None
            columns.append((name, "decimal", fits.precision, fits.scale) if fits else (name, kind))
        return columns

    def _decoded(self, decoder: adventure_decoder.Decoder) -> Iterator[pa.RecordBatch]:
        get, free = libpq_functions()
        rows, state = 0, adventure_decoder.ROW
        while state != adventure_decoder.END:
            # Documented by psycopg, for functions of libpq that it does not wrap.
            connection: int = self._pgconn.pgconn_ptr or 0  # type: ignore[attr-defined]
            state = decoder.fetch(connection, get, free, copy.BYTES_A_BATCH)
            if state == adventure_decoder.ROW:
                self._wait()
                continue
            batch = pa.record_batch(_Batch(decoder.finish()))
            rows += batch.num_rows
            if batch.num_rows:
                yield batch
        (copied,) = self._results()
        if copied.command_tuples != rows:
            raise psycopg.OperationalError(f"{rows} rows came of {copied.command_tuples}")

    def _results(self) -> list[PGresult]:
        """Return all results of what was sent."""
        results: list[PGresult] = []
        while (result := self._result()) is not None:
            results.append(result)
        return results

    def _result(self) -> PGresult | None:
        """Wait for the next result; None after the last one.

        Raises:
            psycopg.Error: the server failed.
        """
        while self._pgconn.flush():
            # What is sent does not fit yet.
            self._wait(select.POLLIN | select.POLLOUT)
        while self._pgconn.is_busy():
            self._wait()
        result = self._pgconn.get_result()
        if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
            error = errors.error_from_result(result)
            # Without a SQLSTATE it is libpq's own: the connection is lost.
            raise error if error.sqlstate else psycopg.OperationalError(str(error))
        return result

    def _wait(self, events: int = select.POLLIN) -> None:
        """Wait until more has come, or until more can be sent."""
        self._poll.modify(self._pgconn.socket, events)
        silent_at = time.monotonic() + self._silence
        while not self._poll.poll(_CHECK_INTERVAL_SEC * 1000):
            if time.monotonic() > min(silent_at, self._ends_at or silent_at):
                raise _Silent
        self._pgconn.consume_input()

    def _leave(self) -> None:
        """Discard the rest of a result, which is cancelled if it is long; close the connection if it does not end."""
        if not self._has_ended(_A_SHORT_REST_SEC):
            self._cancel()
            if not self._has_ended(CANCEL_SEC):
                self._pgconn.finish()

    def _has_ended(self, seconds: float) -> bool:
        """Return whether nothing is under way any more, within that time. Results that come meanwhile are discarded."""
        until = time.monotonic() + seconds
        while self._is_under_way():
            if time.monotonic() > until:
                return False
            with suppress(psycopg.Error):
                if not self._discards() and self._poll.poll(_A_SHORT_REST_SEC * 1000):
                    self._pgconn.consume_input()
        return True

    def _is_under_way(self) -> bool:
        return self._pgconn.transaction_status == pq.TransactionStatus.ACTIVE

    def _discards(self) -> bool:
        """Discard what has come of a result; return False if more has to come first."""
        if self._pgconn.is_busy():
            return False
        result = self._pgconn.get_result()
        if result is None or result.status != pq.ExecStatus.COPY_OUT:
            return True
        while (size := self._pgconn.get_copy_data(1)[0]) > 0:
            pass
        return size < 0

    def _cancel(self) -> None:
        """Cancel the statement in progress. If the server does not end it soon, the waiting thread gives up."""
        self._ends_at = time.monotonic() + CANCEL_SEC
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=CANCEL_SEC)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """Turn errors into those of the error tree."""
        with translating_postgres(self._conninfo, self._name):
            try:
                yield
            except _Silent as error:
                self._pgconn.finish()
                raise postgres_silent(self._conninfo, self._name, self._silence) from error
            except ValueError as error:
                raise postgres_error(error, self._conninfo, self._name, lost=False) from error
