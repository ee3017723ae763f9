"""Connect to MongoDB, and turn the driver's errors into those of the error tree. No message holds a password."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from adventure.core.connect import BRIEF_SEC, retrying
from adventure.core.errors import SourceError, SourceRefused, SourceUnavailable
from adventure.core.settings import Settings
from adventure.core.source_name import SourceName

if TYPE_CHECKING:
    import pymongo

MongoDocument = dict[str, Any]

USUAL = SourceName("mongo", "the source of the documents", "MONGO_", "MONGO_")
"""How errors name the source with the usual settings."""

_REFUSED_WITHIN_SEC = 0.3
"""A machine without a server on the port refuses at once. One that is silent proves nothing."""


def source_name(settings: Settings) -> SourceName:
    """Return how errors name the source."""
    return settings.own_source or USUAL


def connect_mongo(
    uri: str,
    *,
    name: str | SourceName,
    retry_for: float | None = None,
    brief: bool = False,
    silence: float | None = None,
) -> "pymongo.MongoClient[MongoDocument]":
    """Return a client whose server has answered. Retry with backoff if it does not; see `connect_postgres`.

    Args:
        brief: try once, for at most BRIEF_SEC.
        silence: seconds without an answer after which an operation ends with SourceUnavailable; default: never.
            A socketTimeoutMS in the URI takes precedence.

    Raises:
        SourceUnavailable: the server did not answer within `retry_for`.
        SourceRefused: the server refuses user or password.
    """
    import pymongo

    limit = 1000 * BRIEF_SEC if brief else 5000
    for attempt in retrying(0 if brief else retry_for):
        with attempt, translating_mongo(uri, name):
            if brief and _all_refuse(uri):
                # The driver would try again until the limit.
                raise pymongo.errors.ConnectionFailure("connection refused")
            options: dict[str, Any] = {"serverSelectionTimeoutMS": limit, "connectTimeoutMS": limit}
            if silence is not None and "sockettimeoutms" not in uri.lower():
                # Half the time, because the driver retries a read once.
                options["socketTimeoutMS"] = int(1000 * silence / 2)
            try:
                client: pymongo.MongoClient[MongoDocument] = pymongo.MongoClient(
                    uri, tz_aware=False, appname="adventure", **options
                )
            except ValueError as error:  # a port that is no number, among others
                raise pymongo.errors.ConfigurationError(str(error)) from None
            try:
                client.admin.command("ping")
            except BaseException:
                client.close()
                raise
            return client
    raise AssertionError("unreachable")


def _all_refuse(uri: str) -> bool:
    """Return whether every server that the URI names refuses a connection at once."""
    from pymongo.uri_parser import parse_uri

    if uri.startswith("mongodb+srv:"):
        return False
    for host, port in parse_uri(uri, validate=False)["nodelist"]:
        try:
            socket.create_connection((host, port or 27017), timeout=_REFUSED_WITHIN_SEC).close()
        except ConnectionRefusedError:
            continue
        except OSError:
            return False
        return False
    return True


@contextmanager
def translating_mongo(uri: str, name: str | SourceName) -> Iterator[None]:
    """Turn pymongo's errors in the block into those of the error tree.

    Raises:
        SourceUnavailable: the server does not answer, or no longer does.
        SourceRefused: the server refuses.
        SourceError: any other error of the server.
    """
    from pymongo.errors import ConfigurationError, ConnectionFailure, NetworkTimeout, OperationFailure, PyMongoError

    own = name if isinstance(name, SourceName) else USUAL
    where = f"{name} (MongoDB at {_where_mongo(uri)})"
    try:
        yield
    except NetworkTimeout as error:
        remedy = "Check the server and the network; raise STUCK_AFTER_SEC if an operation takes longer"
        raise SourceUnavailable(f"{where} does not answer: nothing came in time", remedy) from error
    except ConnectionFailure as error:
        tls, is_distrust = _tls_problem(str(error))
        if is_distrust:
            remedy = "Check MONGO_TLS_CA_FILE, and that the certificate names this host"
            raise SourceRefused(f"{where} cannot be trusted, or does not trust us: {tls}", own.fix(remedy)) from error
        if tls:
            remedy = "Check that it runs with TLS, and MONGO_HOST, MONGO_PORT or MONGO_URI"
            raise SourceUnavailable(f"{where} does not answer in TLS", own.fix(remedy)) from error
        remedy = "Check that it runs, and MONGO_HOST, MONGO_PORT or MONGO_URI"
        raise SourceUnavailable(f"{where} does not answer", own.fix(remedy)) from error
    except ConfigurationError as error:
        # The error may quote a part of the URI, which may be the password.
        reason = f": {error}" if "@" not in uri else ""
        raise SourceRefused(f"{where} cannot be reached with that URI{reason}", own.fix("Check MONGO_URI")) from None
    except OperationFailure as error:
        if error.code in (13, 18):
            raise SourceRefused(
                f"{where} refuses user or password", own.fix("Check them in MONGO_URI, and the user's role")
            ) from error
        raise SourceError(f"{where} failed: {(error.details or {}).get('errmsg', error)}") from error
    except PyMongoError as error:
        raise SourceError(f"{where} failed: {error}") from error


def _tls_problem(text: str) -> tuple[str, bool]:
    """Return why TLS failed (empty if it did not), and whether one side does not trust the other's certificate.

    pymongo clears the cause of an error that its monitor meets, so that only its text tells a TLS error from others.
    The text is pymongo's and OpenSSL's own, which have no translations.
    """
    if "certificate" in text:
        return text[text.find("certificate") :].partition("(")[0].partition(",")[0].strip(" ."), True
    return ("SSL handshake failed" if "SSL handshake failed" in text else ""), False


def _where_mongo(uri: str) -> str:
    """Return the hosts of a URI, without its credentials."""
    return uri.partition("?")[0].partition("://")[2].rpartition("@")[2].partition("/")[0]
