"""Connections to PostgreSQL and MongoDB: patient with a server that is away, plain about one that says no.

The driver's errors become the error tree's here. A message names host, port, database and user, never a password.
"""

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import _WaitTimeout
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from adventure.core.errors import SourceError, SourceRefused, SourceUnavailable
from adventure.core.log import get_logger

RETRY_FOR_SEC = 30.0
"""How long a connection is retried before SourceUnavailable is raised, where nobody says otherwise."""

_SESSION: dict[str, str | int] = {
    "application_name": "adventure",
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""libpq's parameters of every session. A host that vanishes without a word, as by a power cut, is given up within a
minute; the system's own keepalive begins after two hours."""

PROBE_CLIENT = """
select set_config(s.name, wanted.value, false)
from (values
    ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'),
    ('tcp_user_timeout', '60000')
) as wanted (name, value)
join pg_settings as s on s.name = wanted.name
"""
"""The same on the server's side, so that it ends a session that was lost within a minute: the session of the state
holds the streams' locks, and the one that extracts holds back the horizon."""

_TLS_SIGNS = ("certificate", "does not support SSL", "private key", "no pg_hba.conf entry", "alert unknown ca")
_REFUSAL_SIGNS = (
    "authentication failed",
    "does not exist",
    "no password supplied",
    "permission denied",
    "not permitted",
)
"""What waiting does not fix, in libpq's text about a connection that could not be made: it has no SQLSTATE."""

_TIMEOUT_OF_STATE = {
    "57014": "statement_timeout",
    "55P03": "lock_timeout",
    "25P03": "idle_in_transaction_session_timeout",
    "25P04": "transaction_timeout",
    "57P05": "idle_session_timeout",
}
"""SQLSTATEs of what ends a statement or session that takes long. Our sessions turn these settings off."""

_REFUSED_STATES = ("28", "3D", "42501")
"""SQLSTATEs that waiting does not fix: authentication, a database that does not exist, a privilege."""

_UNAVAILABLE_STATES = ("08", "53", "57P", "25P03")
"""SQLSTATEs of a server that takes no connection, or has ended this one: shutdown, no free slot, a timeout."""

T = TypeVar("T")


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose calls end with an error when the server sends nothing for `silence` seconds."""

    silence: float | None = None

    def wait(self, gen: Generator[Any, Any, T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, self.silence if timeout is None else timeout)
        except _WaitTimeout as error:
            # The answer may still come, and must not be taken for that of the next statement.
            self.pgconn.finish()
            raise psycopg.OperationalError(f"nothing came for {self.silence:g} s") from error


def connect_postgres(
    conninfo: str,
    *,
    name: str,
    autocommit: bool = False,
    retry_for: float | None = None,
    silence: float | None = None,
) -> "psycopg.Connection[tuple[Any, ...]]":
    """A connection, retried with backoff while the server is away.

    Args:
        conninfo: a libpq connection string.
        name: what this database is to the reader of an error, such as `the source database`.
        retry_for: seconds for which it is tried again; RETRY_FOR_SEC when not given, 0 for one attempt.
        silence: seconds after which a statement that has heard nothing ends with SourceUnavailable; default: never.

    Raises:
        SourceUnavailable: it did not answer for so long.
        SourceRefused: wrong password, no such database or role, no privilege.
    """
    for attempt in retrying(retry_for):
        with attempt, translating_postgres(conninfo, name):
            connection = _Connection.connect(session_conninfo(conninfo), autocommit=autocommit)
            connection.silence = silence
            return connection
    raise AssertionError("unreachable")


def session_conninfo(conninfo: str) -> str:
    """The connection string with what every session of ours has, unless it says otherwise."""
    given = conninfo_to_dict(conninfo)
    return make_conninfo(conninfo, **{name: value for name, value in _SESSION.items() if name not in given})


@contextmanager
def translating_postgres(conninfo: str, name: str) -> Iterator[None]:
    """Turns psycopg's errors within into the error tree's.

    Raises:
        SourceUnavailable: the server is away, or went away.
        SourceRefused: it says no.
        SourceError: anything else that it says.
    """
    try:
        yield
    except psycopg.Error as error:
        raise postgres_error(error, conninfo, name) from error


def postgres_error(error: Exception, conninfo: str, name: str, *, lost: bool | None = None) -> SourceError:
    """The tree's error for what a PostgreSQL driver raised: told by its SQLSTATE.

    libpq has no SQLSTATE for a connection that cannot be made, or is lost. The first is told by its text; the text of
    the second is never read, since it may quote a statement.

    Args:
        lost: whether an error without SQLSTATE means that the connection is lost; default: psycopg says so.
    """
    where = postgres_place(conninfo, name)
    state = getattr(error, "sqlstate", None) or ""
    text = _without_statement(str(error))
    detail = _detail(error, text) or type(error).__name__
    connecting = not state and (getattr(error, "pgconn", None) is not None or text.startswith(_ADBC_CONNECTING))
    if connecting and any(sign in text for sign in _TLS_SIGNS):
        remedy = "Check POSTGRES_SSLMODE and the certificates that POSTGRES_SSL… names (or those in STATE_DSN)"
        reason = " ".join(text.split()).rpartition(" failed: ")[2].strip(" .")
        return SourceRefused(f"{where} cannot be trusted, or does not trust us: {reason}", remedy)
    if state.startswith(_REFUSED_STATES) or (connecting and any(sign in text for sign in _REFUSAL_SIGNS)):
        return SourceRefused(
            f"{where} refuses: {detail}", "Check the role, its password, its privileges and the database's name"
        )
    if setting := _TIMEOUT_OF_STATE.get(state):
        user = conninfo_to_dict(conninfo).get("user", "?")
        return SourceUnavailable(
            f"{where} ended what we did: {detail}",
            "See who cancels statements or ends sessions there. If a pooler or the server itself does, by its setting"
            f" {setting}, raise it for {user}",
        )
    if lost is None:
        lost = isinstance(error, psycopg.OperationalError)
    if state.startswith(_UNAVAILABLE_STATES) or (lost and not state):
        return SourceUnavailable(f"{where} does not answer: {detail}", "Check that it runs, and the host and port")
    return SourceError(f"{where} failed: {detail}")


def postgres_silent(conninfo: str, name: str, seconds: float) -> SourceUnavailable:
    """The tree's error for a connection that was ended because nothing came on it."""
    return SourceUnavailable(
        f"{postgres_place(conninfo, name)} does not answer: nothing came for {seconds:g} s",
        "Check the server and what lies between; raise STUCK_AFTER_SEC where a statement takes longer",
    )


_ADBC_CONNECTING = "Failed to connect: "


def _without_statement(text: str) -> str:
    """What a driver says, less the statement that it quotes, and less ADBC's status and SQLSTATE."""
    text = re.sub(r"^\w+: \[libpq\] ", "", text)
    text = text.partition("\n. SQLSTATE:")[0].partition("Query was:")[0]
    return re.sub(r"Failed to (\w+) query '.*': ", r"Failed to \1 a statement: ", text, flags=re.DOTALL)


def _detail(error: Exception, text: str) -> str:
    """Return the server's sentence, with its detail and hint in brackets; without a server, what libpq says last.

    Args:
        text: all that the driver says, in lines of which one begins with ERROR or FATAL if the server spoke.
    """
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        said, more = error.diag.message_primary, [error.diag.message_detail, error.diag.message_hint]
    elif spoken := re.search(r"\b(?:ERROR|FATAL|PANIC): +([^\n]+)", text):
        said = spoken[1]
        more = re.findall(r"^(?:DETAIL|HINT): +([^\n]+)", text, re.MULTILINE)
    else:
        # libpq's explanations ("This probably means …") and questions begin with a tab.
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("\t")]
        said, more = (lines or [""])[-1].rpartition(" failed: ")[2], []
    explained = "; ".join(part.strip(" .") for part in more if part)
    return said.strip(" .") + (f" ({explained})" if explained else "")


def retrying(retry_for: float | None) -> Retrying:
    return Retrying(
        retry=retry_if_exception_type(SourceUnavailable),
        stop=stop_after_delay(RETRY_FOR_SEC if retry_for is None else retry_for),
        wait=wait_exponential_jitter(multiplier=0.2, max=5),
        before_sleep=lambda state: get_logger().warning(f"{state.outcome.exception()} Trying again."),  # type: ignore[union-attr]
        reraise=True,
    )


def postgres_place(conninfo: str, name: str) -> str:
    """The database in an error: what it is, and where."""
    parts = conninfo_to_dict(conninfo)
    host, port = parts.get("host", "localhost"), parts.get("port", 5432)
    database, user = parts.get("dbname", "?"), parts.get("user", "?")
    return f"{name} (PostgreSQL at {host}:{port}, database {database}, user {user})"
