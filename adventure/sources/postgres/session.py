"""Open sessions at the source database. Settings of the role or the database neither change nor end them."""

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from adventure.core.connect import connect_postgres, session_conninfo, translating_postgres
from adventure.core.pooler import require_own_session
from adventure.core.session import plain_session
from adventure.core.settings import Settings
from adventure.core.source_name import SourceName
from adventure.sources.postgres.shape import hash_settings

USUAL = SourceName("postgres", "the source database", "POSTGRES_", "POSTGRES_")
"""How errors name the source with the usual settings."""

_SETTINGS = {
    # The server then raises an error instead of hiding rows.
    "row_security": "off",
    "timezone": "'UTC'",
    "datestyle": "'ISO, YMD'",
    "intervalstyle": "'postgres'",
    "bytea_output": "'hex'",
    "extra_float_digits": "1",
    "xmloption": "'content'",
    "xmlbinary": "'base64'",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
}

# Look names up in pg_catalog first. Keys of an extension's type need the extension's schema.
_SEARCH_PATH = """
select string_agg(distinct quote_ident(nspname), ', ') from pg_catalog.pg_namespace
where nspname <> 'pg_catalog'
    and (nspname = 'public' or oid in (select extnamespace from pg_catalog.pg_extension))
"""


def source_name(settings: Settings) -> SourceName:
    """Return how errors name the source."""
    return settings.own_source or USUAL


def open_session(settings: Settings, *, brief: bool = False) -> "psycopg.Connection[tuple[Any, ...]]":
    """Connect to the source database with settings of our own, in autocommit.

    Args:
        brief: see `connect_postgres`.

    Raises:
        SourceUnavailable: the server does not answer.
        SourceRefused: the server refuses, or a pooler shares its sessions between clients.
    """
    connection = connect_source(settings, brief=brief)
    try:
        with translating_postgres(settings.postgres_dsn, source_name(settings)):
            connection.execute(session_settings(connection, "UTF8", settings.hash_key).encode())
    except BaseException:
        connection.close()
        raise
    return connection


def connect_source(
    settings: Settings, *, retry_for: float | None = None, brief: bool = False, silence: float | None = None
) -> "psycopg.Connection[tuple[Any, ...]]":
    """Connect to the source database in autocommit, with the role's own settings.

    Args:
        retry_for: see `connect_postgres`.
        brief: see `connect_postgres`.
        silence: see `connect_postgres`.

    Raises:
        SourceUnavailable: the server did not answer within that time.
        SourceRefused: the server refuses, or a pooler shares its sessions between clients.
    """
    conninfo, name = settings.postgres_dsn, source_name(settings)
    connection = connect_postgres(
        conninfo, name=name, autocommit=True, retry_for=retry_for, brief=brief, silence=silence
    )
    try:
        require_own_session(connection, conninfo, name, setting=name.fix("POSTGRES_HOST and POSTGRES_PORT"))
    except BaseException:
        connection.close()
        raise
    return connection


def session_settings(
    connection: "psycopg.Connection[tuple[Any, ...]]", encoding: str, hash_key: SecretStr | None = None
) -> str:
    """Return the statements that set up a session.

    Args:
        connection: any connection to the same database.
        encoding: the client encoding, in which text is sent.
        hash_key: the key of hashed columns.

    Raises:
        psycopg.Error: the server failed.
    """
    plain = plain_session(connection, read_only=True)
    # Switch the timeouts off first, so that they do not end the reading of the catalogue.
    connection.execute("; ".join(plain).encode())
    (schemas,) = connection.execute(_SEARCH_PATH).fetchone() or (None,)
    path = ", ".join(["pg_catalog", *filter(None, [schemas])])
    chosen = _SETTINGS | {"search_path": path, "client_encoding": f"'{encoding}'"}
    chosen |= hash_settings(hash_key.get_secret_value().encode()) if hash_key else {}
    return "; ".join([*plain, *(f"set {name} = {value}" for name, value in chosen.items())])


def extracting_conninfo(connection: "psycopg.Connection[tuple[Any, ...]]", conninfo: str, name: SourceName) -> str:
    """Return the connection string of the session that extracts.

    Its driver reads type names while it connects, before we can change a setting, and does not recognise quoted names.

    Args:
        connection: any connection to the same database, as the same role.
        name: how errors name the database.

    Raises:
        SourceError: the server failed.
    """
    with translating_postgres(conninfo, name):
        found = connection.execute("select reset_val from pg_settings where name = 'quote_all_identifiers'").fetchone()
    session = session_conninfo(conninfo)
    if found != ("on",):
        return session
    given = conninfo_to_dict(session).get("options") or ""
    return make_conninfo(session, options=f"{given} -c quote_all_identifiers=off".strip())
