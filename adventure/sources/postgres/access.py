"""Check that the role sees all rows of a stream's relation, and the columns that the stream needs."""

from typing import Any

import psycopg

from adventure.core.errors import SourceError, SourceRefused, SourceShapeError
from adventure.core.sql_text import quoted
from adventure.core.streams import Stream
from adventure.sources.postgres.relations import Relation, read_relations
from adventure.sources.postgres.shape import read_shape

_OWNER = "select quote_ident(pg_get_userbyid(relowner)) from pg_class where oid = %s"

_NAME_NOT_FOUND = ("42883", "42P01", "42704", "3F000")
"""SQLSTATEs for a function, table, type or schema that does not exist."""

_ROW_SECURITY = "check_enable_rls"
"""The server function that reports hidden rows. Its message is in the server's language, so the name is compared."""


def require_access(connection: psycopg.Connection[tuple[Any, ...]], stream: Stream, role: str) -> None:
    """Check that the stream's relation exists and that the role sees all of it.

    Raises:
        SourceRefused: rows or columns are hidden from the role.
        SourceShapeError: there is no such table.
        psycopg.Error: the server failed.
    """
    relation = read_relations(connection, [stream]).get(stream.name)
    if relation is None:
        raise no_table(connection, stream)
    if refused := refusal(connection, stream, relation, role):
        raise refused


def refusal(
    connection: psycopg.Connection[tuple[Any, ...]], stream: Stream, relation: Relation, role: str
) -> SourceRefused | SourceShapeError | None:
    """Return why the role may not read the whole stream, or None.

    Args:
        connection: a session with row_security off, so that the server raises an error instead of hiding rows.

    Raises:
        psycopg.Error: the server failed.
    """
    table = quoted(stream.namespace, stream.table)
    grant = f"grant select on {table} to {quoted(role)}"
    try:
        shape = read_shape(connection, stream)
        if not shape.columns:
            return SourceRefused(f"stream {stream.name}: the role {role} may not read {stream.location}", grant)
        names = "t.*" if shape.is_whole else ", ".join(f"t.{quoted(name)}" for name in shape.columns)
        query = f"select {names} from {shape.source} as t where false".replace("%", "%%")
        # A statement with a value is a single one.
        connection.execute(f"{query} and %s".encode(), [False])
    except (SourceRefused, SourceShapeError) as refused:
        return refused
    except psycopg.errors.InsufficientPrivilege as error:
        view_owner = ""
        if relation.root.kind == "v":
            (owner,) = connection.execute(_OWNER, [relation.root.oid]).fetchone() or ("",)
            view_owner = f", or for {owner} where the view reads as its owner"
        return _not_granted(error, stream, role, grant, view_owner)
    except psycopg.errors.ProgrammingError as error:
        if not stream.where:
            raise
        said = error.diag.message_primary or str(error)
        return SourceShapeError(
            f"stream {stream.name}: its where is no condition on {stream.location}. The server says: {said}",
            f"Correct where of streams.{stream.name} in pipeline.toml",
        )
    return None


def _not_granted(
    error: psycopg.errors.InsufficientPrivilege, stream: Stream, role: str, grant: str, view_owner: str
) -> SourceRefused:
    """Return the error of a role that lacks a privilege, or may not see all rows."""
    said = error.diag.message_primary or str(error)
    if error.diag.source_function == _ROW_SECURITY:
        return SourceRefused(
            f"stream {stream.name}: row-level security may hide rows of {stream.location} from the role {role}, and"
            f" hidden rows would be lost. The server says: {said}",
            f"Run as a superuser: alter role {quoted(role)} bypassrls{view_owner}",
        )
    return SourceRefused(
        f"stream {stream.name}: the role {role} may not read {stream.location}. The server says: {said}",
        f"Run: grant usage on schema {quoted(stream.namespace)} to {quoted(role)}; {grant}{view_owner}",
    )


def with_remedy(error: SourceError, cause: BaseException | None) -> SourceError:
    """Add a remedy to an error about a name that was not found, since our session has a search_path of its own.

    Args:
        cause: the driver's error.
    """
    if error.remedy or getattr(cause, "sqlstate", None) not in _NAME_NOT_FOUND:
        return error
    return type(error)(
        error.problem,
        "The processor looks names up in pg_catalog, public and the schemas of extensions. Where a view calls a"
        " function that needs another schema, run: alter function … set search_path = …",
    )


def no_table(connection: psycopg.Connection[tuple[Any, ...]], stream: Stream) -> SourceShapeError:
    """Return the error for a table that does not exist."""
    return SourceShapeError(
        f"stream {stream.name}: there is no table {stream.location} in database {connection.info.dbname}",
        "Correct namespace and table in pipeline.toml",
    )
