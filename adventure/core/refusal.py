"""Find out the SQLSTATE with which a PostgreSQL server refuses a connection.

libpq reports a failed connection by its text alone, and the server writes its part of that text in its own language.
libpq's trace of the protocol shows the fields of the server's answer, which are the same in every language.
"""

import os
import re
import select
import time
from contextlib import suppress

from psycopg import NotSupportedError
from psycopg.pq import ConnStatus, PGconn, PollingStatus, Trace

_SECONDS = 5.0
"""How long the second attempt may take."""

_NOT_CONNECTED = (ConnStatus.STARTED, ConnStatus.BAD)
_ERROR_RESPONSE = re.compile(r'\tErrorResponse\t.*? C "(\w{5})"')


def refusal_state(conninfo: str) -> str:
    """Connect once more and return the SQLSTATE of the server's refusal.

    Returns:
        Empty if no server answers, if it accepts the connection this time, or if the answer cannot be traced. Tracing
        takes Linux and a libpq that traces logins, as the one in psycopg's own builds does.
    """
    # The trace may show a password. A pipe keeps it in memory; when the pipe is full, libpq drops the rest.
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    try:
        with suppress(NotSupportedError):
            _connect(conninfo, trace_to=writer)
        with suppress(BlockingIOError):
            found = _ERROR_RESPONSE.findall(os.read(reader, 1 << 16).decode(errors="replace"))
            return found[-1] if found else ""
        return ""
    finally:
        os.close(reader)
        os.close(writer)


def _connect(conninfo: str, *, trace_to: int) -> None:
    """Connect until the server accepts or refuses, or the time is over; then close the connection."""
    connection = PGconn.connect_start(conninfo.encode())
    is_traced = False
    try:
        until = time.monotonic() + _SECONDS
        while (left := until - time.monotonic()) > 0:
            status = connection.connect_poll()
            if status == PollingStatus.READING:
                select.select([connection.socket], [], [], left)
            elif status == PollingStatus.WRITING:
                select.select([], [connection.socket], [], left)
            else:
                return
            # Only with a server that answers: psycopg does not free the 4 kB of a trace's buffer.
            if not is_traced and connection.status not in _NOT_CONNECTED:
                is_traced = True
                connection.trace(trace_to)
                connection.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
    finally:
        if is_traced:
            connection.untrace()
        connection.finish()
