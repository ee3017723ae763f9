"""Create the source and state databases of a sandbox, with separate roles.

`sales_app` owns the sales, `adventure_reader` can only read them, `adventure_state` owns the watermarks.
"""

from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from adventure.demo.sandbox.sandbox import Sandbox

READER_ROLE_SQL = Path(__file__).parents[2] / "sources" / "postgres" / "postgres_reader.sql"


@dataclass(frozen=True)
class Databases:
    """Environment variables to reach the databases, as the pipeline and as the shop's application."""

    reader_env: dict[str, str]
    writer_env: dict[str, str]


def create_databases(sandbox: Sandbox, name: str = "transactions", mongo_db: str = "support_logs") -> Databases:
    """Create the missing databases and roles."""
    state = f"{name}_state"
    with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
        for role in ("sales_app", "adventure_state"):
            _create_role(connection, role)
        for database, owner in ((name, "sales_app"), (state, "adventure_state")):
            _create_database(connection, database, owner)
    with psycopg.connect(sandbox.postgres.dsn(name), autocommit=True) as connection:
        connection.execute(READER_ROLE_SQL.read_bytes())
        for what in ("tables", "sequences"):
            statement = f"alter default privileges for role sales_app in schema public grant select on {what}"
            connection.execute(f"{statement} to adventure_reader".encode())
        connection.execute("grant create on schema public to sales_app")
        for role in ("sales_app", "adventure_state", "adventure_reader"):
            connection.execute(
                sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(sandbox.password))
            )
    mongo = {
        "MONGO_HOST": sandbox.mongo.host,
        "MONGO_PORT": str(sandbox.mongo.port),
        "MONGO_URI": sandbox.mongo.uri,
        "MONGO_DB": mongo_db,
        "MONGO_COLLECTION": "chats",
    }
    state_dsn = sandbox.postgres.dsn(state, user="adventure_state", password=sandbox.password)
    return Databases(
        reader_env=_postgres_env(sandbox, name, "adventure_reader") | mongo | {"STATE_DSN": state_dsn},
        writer_env=_postgres_env(sandbox, name, "sales_app") | mongo | {"STATE_DSN": state_dsn},
    )


def _postgres_env(sandbox: Sandbox, database: str, user: str) -> dict[str, str]:
    return {
        "POSTGRES_HOST": sandbox.postgres.host,
        "POSTGRES_PORT": str(sandbox.postgres.port),
        "POSTGRES_DB": database,
        "POSTGRES_USER": user,
        "POSTGRES_PASSWORD": sandbox.password,
    }


def _create_role(connection: psycopg.Connection[tuple[object, ...]], role: str) -> None:
    if not connection.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone():
        connection.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))


def _create_database(connection: psycopg.Connection[tuple[object, ...]], database: str, owner: str) -> None:
    if not connection.execute("select 1 from pg_database where datname = %s", [database]).fetchone():
        statement = sql.SQL("create database {} owner {}").format(sql.Identifier(database), sql.Identifier(owner))
        connection.execute(statement)
