"""Test the options of sessions with PostgreSQL and the translation of driver errors."""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import adbc_driver_manager
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from adventure.core.connect import connect_postgres, postgres_error, session_conninfo, translating_postgres
from adventure.core.errors import SourceError, SourceRefused, SourceUnavailable
from adventure.core.settings import Settings
from tests.proxy import How, Proxy


def test_a_dead_host_is_detected_within_a_minute() -> None:
    session = conninfo_to_dict(session_conninfo("host=db dbname=sales"))
    assert (session["host"], session["dbname"]) == ("db", "sales")
    waited = int(session["keepalives_idle"] or 0) + int(session["keepalives_interval"] or 0) * int(
        session["keepalives_count"] or 0
    )
    assert waited <= 60
    assert int(session["tcp_user_timeout"] or 0) <= 60_000


@pytest.mark.parametrize("given", ["connect_timeout=60", "application_name=nightly", "tcp_user_timeout=0"])
def test_the_connection_string_overrides_the_defaults(given: str) -> None:
    name, _, value = given.partition("=")
    assert conninfo_to_dict(session_conninfo(f"host=db {given}"))[name] == value


def test_a_password_with_quotes_and_spaces_survives() -> None:
    given = r"host=db password='it\'s a \\ secret'"
    assert conninfo_to_dict(session_conninfo(given))["password"] == r"it's a \ secret"


LOST = "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally"


def adbc(text: str, state: str | None = None) -> adbc_driver_manager.Error:
    return adbc_driver_manager.OperationalError(text, status_code=10, sqlstate=state)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.errors.lookup("26000")('prepared statement "_pg3_0" does not exist'), SourceError),
        (psycopg.errors.lookup("42P01")('relation "orders" does not exist'), SourceError),
        (psycopg.errors.lookup("57014")("canceling statement due to user request"), SourceUnavailable),
        (psycopg.errors.lookup("57P01")("terminating connection due to administrator command"), SourceUnavailable),
        (psycopg.errors.lookup("53300")("sorry, too many clients already"), SourceUnavailable),
        (psycopg.errors.lookup("25P03")("terminating connection due to idle-in-transaction"), SourceUnavailable),
        (psycopg.errors.lookup("42501")("Zugriff verweigert"), SourceRefused),
        (psycopg.errors.lookup("28P01")("Passwort falsch"), SourceRefused),
        (psycopg.OperationalError(LOST), SourceUnavailable),
        (psycopg.OperationalError("sending data failed: permission denied, certificate"), SourceUnavailable),
        (adbc(f"IO: [libpq] Failed to execute query 'select 'permission denied'': {LOST}"), SourceUnavailable),
        (adbc(f"IO: [libpq] Failed to prepare query: {LOST}\nQuery was:select certificate"), SourceUnavailable),
        (adbc("IO: [libpq] ERROR:  permission denied for table t\n. SQLSTATE: 42501", "42501"), SourceRefused),
        (adbc('IO: [libpq] Failed to connect: FATAL:  role "x" does not exist\n'), SourceRefused),
        (adbc("IO: [libpq] Failed to connect: connection refused\n"), SourceUnavailable),
    ],
    ids=str,
)
def test_errors_are_classified_by_sqlstate_and_not_by_the_statement(
    error: Exception, expected: type[SourceError]
) -> None:
    lost = True if isinstance(error, adbc_driver_manager.Error) else None
    found = postgres_error(error, "host=127.0.0.1 port=1 dbname=sales", "the source database", lost=lost)
    assert type(found) is expected
    assert "select" not in str(found)


def test_a_lost_connection_is_reported_as_lost() -> None:
    error = adbc(f"IO: [libpq] Failed to prepare query: {LOST}\nQuery was:select 1")
    found = postgres_error(error, "host=db dbname=sales user=reader", "the source database", lost=True)
    assert found.problem.endswith("does not answer: Failed to prepare query: server closed the connection unexpectedly")


def test_a_silent_session_is_closed(settings: Settings) -> None:
    with Proxy(settings.postgres_port) as proxy:
        conninfo = settings.model_copy(update={"postgres_port": proxy.port}).postgres_dsn
        with connect_postgres(conninfo, name="the source", autocommit=True, silence=0.2) as connection:
            connection.execute("select 1")
            proxy.strike_all(How.STALL, 3600)
            with (
                pytest.raises(SourceUnavailable, match=r"nothing came for 0\.2 s"),
                translating_postgres(conninfo, "the source"),
            ):
                connection.execute("select 1")
            assert connection.closed


@contextmanager
def server_that_refuses(state: str) -> Iterator[int]:
    """A server that refuses every connection with this SQLSTATE and a text in Russian; its port."""
    fields = f"SВАЖНО\0VFATAL\0C{state}\0Mнет\0\0".encode()

    class Refusing(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            # Requests for encryption come first, each of eight bytes.
            while (head := self.request.recv(8)) and len(head) == 8 and struct.unpack("!ii", head)[0] == 8:
                self.request.sendall(b"N")
            self.request.recv(1 << 16)
            self.request.sendall(b"E" + struct.pack("!i", 4 + len(fields)) + fields)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize(
    ("state", "expected", "words"),
    [
        ("28P01", SourceRefused, "refuses: .*нет"),
        ("28000", SourceRefused, "refuses: .*нет"),
        ("3D000", SourceRefused, "refuses: .*нет"),
        ("42501", SourceRefused, "refuses: .*нет"),
        ("53300", SourceUnavailable, "does not answer: .*нет"),
        ("57P03", SourceUnavailable, "does not answer: .*нет"),
    ],
)
def test_a_refusal_in_another_language_is_recognised_by_its_state(
    state: str, expected: type[SourceError], words: str
) -> None:
    with server_that_refuses(state) as port:
        conninfo = f"host=127.0.0.1 port={port} dbname=sales user=reader"
        with pytest.raises(SourceError, match=words) as raised:
            connect_postgres(conninfo, name="the source database", retry_for=0)
    assert type(raised.value) is expected
