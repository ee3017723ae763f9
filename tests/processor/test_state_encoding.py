"""The watermarks work in a database with the encoding SQL_ASCII."""

import psycopg
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.run import backfill
from adventure.demo.sandbox import Sandbox
from adventure.destinations.duckdb.stage import FolderStage
from adventure.processor.run import process_once
from adventure.processor.state import read_watermarks


def test_watermarks_are_found_again_in_a_database_without_an_encoding(
    sandbox: Sandbox, settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...]
) -> None:
    name = f"{settings.postgres_db}_ascii"
    with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"create database {name} owner adventure_state encoding 'SQL_ASCII' template template0")
    dsn = SecretStr(make_conninfo(settings.state_conninfo, dbname=name))
    settings = settings.model_copy(update={"state_dsn": dsn})
    backfill(writer_settings, orders=10, days=1)
    process_once(settings, streams)
    process_once(settings, streams)
    assert "orders" in read_watermarks(settings)
    assert sum(window.rows for window in FolderStage(settings.stage_dir).windows("orders_stage")) == 10
