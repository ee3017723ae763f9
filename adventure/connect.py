"""Connections to PostgreSQL and MongoDB: patient with a server that is away, plain about one that says no.

The driver's errors become the error tree's here. A message names host, port, database and user, never a password.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from adventure.errors import SourceError, SourceRefused, SourceUnavailable
from adventure.log import get_logger

if TYPE_CHECKING:
    import pymongo

PATIENCE_SEC = 30.0
"""How long a connection is retried before SourceUnavailable is raised."""

_REFUSED_STATES = ("28", "3D", "42501")
"""SQLSTATEs that no waiting mends: authentication, a database that is not there, a privilege."""

MongoDocument = dict[str, Any]


def connect_postgres(conninfo: str, *, name: str, autocommit: bool = False) -> "psycopg.Connection[tuple[Any, ...]]":
    """A connection, retried with backoff while the server is away.

    Args:
        conninfo: a libpq connection string.
        name: what this database is to the reader of an error, such as `the source database`.

    Raises:
        SourceUnavailable: it did not answer for PATIENCE_SEC.
        SourceRefused: wrong password, no such database or role, no privilege.
    """
    for attempt in _attempts():
        with attempt, translating_postgres(conninfo, name):
            return psycopg.connect(conninfo, autocommit=autocommit, connect_timeout=5, application_name="adventure")
    raise AssertionError("unreachable")


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


def postgres_error(error: Exception, conninfo: str, name: str) -> SourceError:
    """The tree's error for what a PostgreSQL driver raised: told by its SQLSTATE or, where there is none, its text."""
    where = _where_postgres(conninfo, name)
    state = getattr(error, "sqlstate", None) or ""
    text = str(error)
    refused = state.startswith(_REFUSED_STATES) or any(
        sign in text
        for sign in ("authentication failed", "does not exist", "no password supplied", "permission denied")
    )
    detail = (text.strip().splitlines() or [type(error).__name__])[-1].strip().removeprefix("DETAIL:").strip(" .")
    if refused:
        return SourceRefused(
            f"{where} refuses: {detail}", "Check the role, its password, its privileges and the database's name"
        )
    if isinstance(error, psycopg.OperationalError) or state.startswith("08") or state.startswith("57P"):
        return SourceUnavailable(f"{where} does not answer: {detail}", "Check that it runs, and the host and port")
    return SourceError(f"{where} failed: {detail}")


def connect_mongo(uri: str, *, name: str) -> "pymongo.MongoClient[MongoDocument]":
    """A client whose server has answered, retried with backoff while it is away.

    Raises:
        SourceUnavailable: it did not answer for PATIENCE_SEC.
        SourceRefused: it refuses user or password.
    """
    import pymongo

    for attempt in _attempts():
        with attempt, translating_mongo(uri, name):
            client: pymongo.MongoClient[MongoDocument] = pymongo.MongoClient(
                uri, serverSelectionTimeoutMS=5000, connectTimeoutMS=5000, tz_aware=False, appname="adventure"
            )
            client.admin.command("ping")
            return client
    raise AssertionError("unreachable")


@contextmanager
def translating_mongo(uri: str, name: str) -> Iterator[None]:
    """Turns pymongo's errors within into the error tree's.

    Raises:
        SourceUnavailable: the server is away, or went away.
        SourceRefused: it says no.
        SourceError: anything else that it says.
    """
    from pymongo.errors import ConfigurationError, ConnectionFailure, OperationFailure, PyMongoError

    where = f"{name} (MongoDB at {_where_mongo(uri)})"
    try:
        yield
    except ConnectionFailure as error:
        remedy = "Check that it runs, and MONGO_HOST, MONGO_PORT or MONGO_URI"
        raise SourceUnavailable(f"{where} does not answer", remedy) from error
    except ConfigurationError as error:
        raise SourceRefused(f"{where} cannot be reached with that URI: {error}", "Check MONGO_URI") from error
    except OperationFailure as error:
        if error.code in (13, 18):
            raise SourceRefused(f"{where} refuses user or password", "Check them, and the user's role") from error
        raise SourceError(f"{where} failed: {(error.details or {}).get('errmsg', error)}") from error
    except PyMongoError as error:
        raise SourceError(f"{where} failed: {error}") from error


def _attempts() -> Retrying:
    return Retrying(
        retry=retry_if_exception_type(SourceUnavailable),
        stop=stop_after_delay(PATIENCE_SEC),
        wait=wait_exponential_jitter(multiplier=0.2, max=5),
        before_sleep=lambda state: get_logger().warning(f"{state.outcome.exception()} Trying again."),  # type: ignore[union-attr]
        reraise=True,
    )


def _where_postgres(conninfo: str, name: str) -> str:
    parts = conninfo_to_dict(conninfo)
    host, port = parts.get("host", "localhost"), parts.get("port", 5432)
    database, user = parts.get("dbname", "?"), parts.get("user", "?")
    return f"{name} (PostgreSQL at {host}:{port}, database {database}, user {user})"


def _where_mongo(uri: str) -> str:
    """The hosts of a URI, without its credentials."""
    return uri.partition("://")[2].rpartition("@")[2].partition("/")[0].partition("?")[0]
