"""What every session with PostgreSQL is opened with."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from adventure.core.connect import session_conninfo


def test_a_host_that_vanishes_is_given_up_within_a_minute() -> None:
    session = conninfo_to_dict(session_conninfo("host=db dbname=sales"))
    assert (session["host"], session["dbname"]) == ("db", "sales")
    waited = int(session["keepalives_idle"]) + int(session["keepalives_interval"]) * int(session["keepalives_count"])
    assert waited <= 60
    assert int(session["tcp_user_timeout"]) <= 60_000


@pytest.mark.parametrize("given", ["connect_timeout=60", "application_name=nightly", "tcp_user_timeout=0"])
def test_a_connection_string_has_the_last_word(given: str) -> None:
    name, _, value = given.partition("=")
    assert conninfo_to_dict(session_conninfo(f"host=db {given}"))[name] == value


def test_a_password_with_quotes_and_spaces_survives() -> None:
    given = r"host=db password='it\'s a \\ secret'"
    assert conninfo_to_dict(session_conninfo(given))["password"] == r"it's a \ secret"
