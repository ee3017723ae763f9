"""Connections to PostgreSQL: retry while the server is down, fail at once when it refuses.

Driver errors become errors of the tree in `errors.py`, by SQLSTATE and by class. A message names host, port, database
and user, never a password.
"""

import re
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from adventure.core.errors import SourceError, SourceRefused, SourceUnavailable
from adventure.core.log import get_logger
from adventure.core.refusal import refusal_state
from adventure.core.source_name import SourceName

RETRY_FOR_SEC = 30.0
"""How long a connection is retried by default before SourceUnavailable is raised."""

BRIEF_SEC = 2
"""How long `status` waits for one database: libpq's shortest time."""

_SESSION: dict[str, str | int] = {
    "application_name": "adventure",
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""libpq's parameters of every session. With them a host that vanishes, as in a power cut, is given up within a minute;
the system's own keepalive begins after two hours."""

PROBE_CLIENT = """
select set_config(s.name, wanted.value, false)
from (values
    ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'),
    ('tcp_user_timeout', '60000')
) as wanted (name, value)
join pg_settings as s on s.name = wanted.name
"""
"""The same settings for the server, so that it ends a lost session within a minute. The session of the state holds the
streams' locks, and the session that extracts holds back the horizon."""

_TIMEOUT_OF_STATE = {
    "57014": "statement_timeout",
    "55P03": "lock_timeout",
    "25P03": "idle_in_transaction_session_timeout",
    "25P04": "transaction_timeout",
    "57P05": "idle_session_timeout",
}
"""SQLSTATEs of a statement or session that the server ended for taking too long. Our sessions turn these settings
off."""

_REFUSED_STATES = ("28", "3D", "42501")
"""SQLSTATEs that waiting does not fix: authentication, a database that does not exist, a missing privilege."""

_UNAVAILABLE_STATES = ("08", "53", "57P", "25P03")
"""SQLSTATEs of a server that accepts no connection, or ended this one: shutdown, no free slot, a timeout."""

T = TypeVar("T")


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose calls end with an error when the server sends nothing for `silence` seconds."""

    silence: float | None = None

    def wait(self, gen: Generator[Any, Any, T], interval: float = 0.1, timeout: float | None = None) -> T:
        if self.silence is None or timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.silence)
        except psycopg.OperationalError as error:
            # What the server refuses has a SQLSTATE, and a lost connection has no statement under way: a timeout alone
            # leaves one under way.
            if error.sqlstate or self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            # The answer may still come, and must not be taken for that of the next statement.
            self.pgconn.finish()
            raise psycopg.OperationalError(f"nothing came for {self.silence:g} s") from error


def connect_postgres(
    conninfo: str,
    *,
    name: str | SourceName,
    autocommit: bool = False,
    retry_for: float | None = None,
    brief: bool = False,
    silence: float | None = None,
) -> "psycopg.Connection[tuple[Any, ...]]":
    """Connect, and retry with backoff while the server is down.

    Args:
        conninfo: a libpq connection string.
        name: names the database in errors, for example `the source database`.
        retry_for: seconds to retry; RETRY_FOR_SEC by default, 0 for one attempt.
        brief: try once, for at most BRIEF_SEC.
        silence: seconds without an answer after which a statement ends with SourceUnavailable; default: never.

    Raises:
        SourceUnavailable: the server did not answer for so long.
        SourceRefused: wrong password, no such database or role, no privilege.
    """
    limit: dict[str, Any] = {"connect_timeout": BRIEF_SEC} if brief else {}
    for attempt in retrying(0 if brief else retry_for):
        with attempt, translating_postgres(conninfo, name):
            connection = _Connection.connect(session_conninfo(conninfo), autocommit=autocommit, **limit)
            connection.silence = silence
            # Prepare only what says `prepare=True`, queries of the catalogue: after a change of a table the server
            # refuses a prepared query of it for good.
            connection.prepare_threshold = sys.maxsize
            return connection
    raise AssertionError("unreachable")


def session_conninfo(conninfo: str) -> str:
    """Return the connection string with the parameters of every session, except those that it sets itself."""
    given = conninfo_to_dict(conninfo)
    return make_conninfo(conninfo, **{name: value for name, value in _SESSION.items() if name not in given})


@contextmanager
def translating_postgres(conninfo: str, name: str | SourceName) -> Iterator[None]:
    """Turn psycopg's errors into errors of the tree.

    Raises:
        SourceUnavailable: the server is down, or the connection was lost.
        SourceRefused: the server refuses.
        SourceError: any other error.
    """
    try:
        yield
    except psycopg.Error as error:
        raise postgres_error(error, conninfo, name) from error


def postgres_error(error: Exception, conninfo: str, name: str | SourceName, *, lost: bool | None = None) -> SourceError:
    """Return the tree's error for one that a PostgreSQL driver raised, by its SQLSTATE.

    An error of libpq itself has no SQLSTATE. For a connection that failed, the server is asked for it again. A
    connection that was lost is told by the class of the error; its text is not read, since it may quote a statement.

    Args:
        lost: whether an error without SQLSTATE means that the connection was lost; default: by psycopg's class.
    """
    where = postgres_place(conninfo, name)
    own = name if isinstance(name, SourceName) else None
    text = _without_statement(str(error))
    detail = _detail(error, text) or type(error).__name__
    state = getattr(error, "sqlstate", None) or ""
    if not state and _is_failed_connection(error, text):
        if tls := _tls_problem(text):
            remedy = "Check POSTGRES_SSLMODE and the certificates that POSTGRES_SSL… names (or those in STATE_DSN)"
            return SourceRefused(
                f"{where} cannot be trusted, or does not trust us: {tls}", own.fix(_OWN_TLS) if own else remedy
            )
        state = refusal_state(session_conninfo(conninfo)) or _state_of_text(text)
    if state.startswith(_REFUSED_STATES):
        return SourceRefused(
            f"{where} refuses: {detail}",
            own.fix(_OWN_ROLE) if own else "Check the role, its password, its privileges and the database's name",
        )
    if setting := _TIMEOUT_OF_STATE.get(state):
        user = conninfo_to_dict(conninfo).get("user", "?")
        return SourceUnavailable(
            f"{where} ended our statement or session: {detail}",
            "Find out who cancels statements or ends sessions there. If it is a pooler or the server's setting"
            f" {setting}, raise it for {user}",
        )
    if lost is None:
        lost = isinstance(error, psycopg.OperationalError)
    if state.startswith(_UNAVAILABLE_STATES) or (lost and not state):
        return SourceUnavailable(
            f"{where} does not answer: {detail}",
            own.fix(_OWN_PLACE) if own else "Check that it runs, and the host and port",
        )
    return SourceError(f"{where} failed: {detail}")


_OWN_TLS = "Check POSTGRES_SSLMODE, POSTGRES_SSLROOTCERT, POSTGRES_SSLCERT and POSTGRES_SSLKEY"
_OWN_ROLE = "Check POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB, and the role's privileges"
_OWN_PLACE = "Check that it runs, and POSTGRES_HOST and POSTGRES_PORT"
"""Fixes for a source with settings of its own, whose names take the place of these."""


def postgres_silent(conninfo: str, name: str | SourceName, seconds: float) -> SourceUnavailable:
    """Return the tree's error for a connection that was ended because the server sent nothing."""
    return SourceUnavailable(
        f"{postgres_place(conninfo, name)} does not answer: nothing came for {seconds:g} s",
        "Check the server and the network; raise STUCK_AFTER_SEC if a statement takes longer",
    )


def retrying(retry_for: float | None) -> Retrying:
    """Return attempts with backoff while SourceUnavailable is raised, for RETRY_FOR_SEC by default."""
    return Retrying(
        retry=retry_if_exception_type(SourceUnavailable),
        stop=stop_after_delay(RETRY_FOR_SEC if retry_for is None else retry_for),
        wait=wait_exponential_jitter(multiplier=0.2, max=5),
        before_sleep=_log_retry,
        reraise=True,
    )


def _log_retry(state: RetryCallState) -> None:
    """Log the first failure; the others only with --verbose, because they say the same."""
    log = get_logger()
    tell = log.warning if state.attempt_number == 1 else log.debug
    tell(f"{state.outcome.exception() if state.outcome else ''} Trying again.")


def postgres_place(conninfo: str, name: str | SourceName) -> str:
    """Return how an error names the database: what it is, and where."""
    parts = conninfo_to_dict(conninfo)
    host, port = parts.get("host", "localhost"), parts.get("port", 5432)
    database, user = parts.get("dbname", "?"), parts.get("user", "?")
    return f"{name} (PostgreSQL at {host}:{port}, database {database}, user {user})"


_ADBC_CONNECTING = "Failed to connect: "

_TLS_SIGNS = ("certificate", "does not support SSL", "private key", "no pg_hba.conf entry", "alert unknown ca")
_REFUSAL_SIGNS = (
    "authentication failed",
    "does not exist",
    "no password supplied",
    "permission denied",
    "not permitted",
)
_AUTHORIZATION = "28000"


def _is_failed_connection(error: Exception, text: str) -> bool:
    """Return whether an error without SQLSTATE is about a connection that could not be made."""
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return False  # no server answered
    return getattr(error, "pgconn", None) is not None or text.startswith(_ADBC_CONNECTING)


def _tls_problem(text: str) -> str:
    """Return why TLS failed; empty if it did not.

    libpq has no code for this, only text. The text is libpq's and OpenSSL's own and stays English: Python never sets
    LC_MESSAGES. `pg_hba.conf` is the server's word, which its translations keep.
    """
    if not any(sign in text for sign in _TLS_SIGNS):
        return ""
    return " ".join(text.split()).rpartition(" failed: ")[2].strip(" .")


def _state_of_text(text: str) -> str:
    """Return the SQLSTATE that a refusal's English text stands for; empty if it is none.

    The fallback where `refusal_state` cannot find out: with an older libpq, and for libpq's own refusal to connect
    without a password.
    """
    return _AUTHORIZATION if any(sign in text for sign in _REFUSAL_SIGNS) else ""


def _without_statement(text: str) -> str:
    """Return a driver's text without the statement that it quotes, and without ADBC's status and SQLSTATE."""
    text = re.sub(r"^\w+: \[libpq\] ", "", text)
    text = text.partition("\n. SQLSTATE:")[0].partition("Query was:")[0]
    return re.sub(r"Failed to (\w+) query '.*': ", r"Failed to \1 a statement: ", text, flags=re.DOTALL)


def _detail(error: Exception, text: str) -> str:
    """Return the server's sentence, with its detail and hint in brackets; without a server, libpq's last line.

    Args:
        text: the driver's text, in lines of which one begins with ERROR or FATAL if the server answered.
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
