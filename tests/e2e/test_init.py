"""`adventure init` in an empty folder, and the whole pipeline with what it wrote."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pymongo
import pytest
import structlog
from bson import Decimal128, ObjectId
from typer.testing import CliRunner, Result

from adventure import cli
from adventure.core.clock import utc_now
from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.streams import find_stream
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import Databases
from adventure.factory import open_warehouse
from tests.processor.test_sample_databases import SHAPES, plain, shown

RENAMED = {"northwind_orders": "orders"}
"""A table with the name of one of the shop's, and other columns."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, which is the working folder."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    for name in ("PIPELINE_FILE", "DBT_DIR", "DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    return empty


@pytest.fixture
def source(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection that may write to a database without tables, which the environment names for reading."""
    for name, value in databases.reader_env.items():
        if not name.startswith("MONGO_"):
            monkeypatch.setenv(name, value)
    env = databases.writer_env
    dsn = psycopg.conninfo.make_conninfo(
        host=env["POSTGRES_HOST"], port=env["POSTGRES_PORT"], dbname=env["POSTGRES_DB"], user=env["POSTGRES_USER"],
        password=env["POSTGRES_PASSWORD"],
    )  # fmt: skip
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("drop table order_details, orders")
        yield connection


def run(*arguments: str, typed: str | None = None, code: int = 0) -> Result:
    done = CliRunner().invoke(cli.app, list(arguments), env={"COLUMNS": "200"}, input=typed)
    assert done.exit_code == code, (done.output, done.exception)
    return done


def streams_of(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = tomllib.loads((folder / "pipeline.toml").read_text())["streams"]
    return found


def test_a_large_table_that_only_grows_is_read_by_its_ids(
    folder: Path, source: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adventure.sources.postgres.propose._MANY_TO_COMPARE", 3)
    for table, change in {"grows": "select", "changes": "update changes set note = 'x'"}.items():
        source.execute(f"create table {table} (id bigserial primary key, note text)".encode())
        source.execute(f"insert into {table} (note) select n from generate_series(1, 5) as n".encode())
        source.execute(change.encode())
        source.execute(f"analyze {table}".encode())
    source.execute("select pg_stat_force_next_flush()")
    source.execute("select")
    run("init", "--yes")
    found = streams_of(folder)
    assert {name: (s.get("cursor"), s.get("mode")) for name, s in found.items()} == {
        "changes": (None, "snapshot"),
        "grows": ("id", "append"),
    }
    assert "no update and no deletion" in (folder / "pipeline.toml").read_text()
    assert "_read_at" in (folder / "dbt/models/staging/stg_grows.sql").read_text()


def test_each_table_gets_a_mode_a_key_and_the_reasons(folder: Path, source: psycopg.Connection[Any]) -> None:
    source.execute("create table tagged (id uuid primary key, updated_at timestamptz not null default now())")
    source.execute(
        "create function touch() returns trigger language plpgsql as 'begin new.updated_at = now(); return new; end'"
    )
    source.execute("create trigger touch before update on tagged for each row execute function touch()")
    source.execute("create table untagged (a int not null, b text not null, changed_at timestamptz, unique (b, a))")
    source.execute('create table "Loose Ends" ("Order" int)')
    source.execute("create view seen as select 1 as one")
    source.execute("create table hidden (id int primary key)")
    source.execute("revoke all on hidden from adventure_reader")
    source.execute('create table twice (id int primary key, "ID" int)')
    output = run("init", "--yes").output
    found = streams_of(folder)
    assert {name: (s.get("cursor"), s.get("mode"), s.get("key")) for name, s in found.items()} == {
        "loose_ends": (None, "snapshot", None),
        "tagged": ("updated_at", None, "id"),
        "untagged": (None, "snapshot", ["b", "a"]),
    }
    text = (folder / "pipeline.toml").read_text()
    assert "# cursor: a trigger runs on updates: check that it sets this column. No index begins with it" in text
    assert 'the application must set changed_at each time. If it does, write cursor = "changed_at" instead' in text
    for left_out in (
        "public.seen: a view",
        'public.hidden: the role may not read it: grant select on "public"."hidden" to "adventure_reader"',
        "public.twice: column ID of public.twice has the same name as id",
    ):
        assert left_out in text
        assert f"Left out: {left_out}" in " ".join(output.split())


def test_a_published_table_is_read_by_the_log(
    folder: Path, source: psycopg.Connection[Any], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other tables are compared whole, and the file says why the log does not do."""
    source.execute("create table published (id int primary key, note text)")
    source.execute("create table unpublished (id int primary key)")
    source.execute("create table keyless (id int)")
    source.execute("create table identified (a int not null unique, b int not null, c int not null, unique (c, b))")
    source.execute("alter table identified replica identity using index identified_c_b_key")
    source.execute(
        "create publication adventure for table published, identified with (publish_via_partition_root = true)"
    )
    source.execute("insert into published select n, 'note ' || n from generate_series(1, 5) as n")
    with psycopg.connect(sandbox.postgres.dsn(source.info.dbname), autocommit=True) as superuser:
        if not superuser.execute("select 1 from pg_roles where rolname = 'init_log_reader'").fetchone():
            superuser.execute("create role init_log_reader login replication password 'log' in role adventure_reader")
        monkeypatch.setenv("POSTGRES_USER", "init_log_reader")
        monkeypatch.setenv("POSTGRES_PASSWORD", "log")
        run("init", "--yes")
        modes = {name: stream["mode"] for name, stream in streams_of(folder).items()}
        assert modes == {"identified": "log", "keyless": "snapshot", "published": "log", "unpublished": "snapshot"}
        assert streams_of(folder)["identified"]["key"] == ["c", "b"]
        text = (folder / "pipeline.toml").read_text()
        assert "The log has each change and deletion: the table is in the publication adventure" in text
        assert "The log cannot be read: it is not in the publication adventure" in text
        run("process")
        source.execute("delete from published where id = 2")
        source.execute("update published set note = 'new' where id = 3")
        run("process")
        structlog.reset_defaults()  # the command's output is closed
        settings = load_settings()
        open_warehouse(settings).load(find_stream(load_streams(settings), "published"))
        expected = source.execute("select id, note from published order by id").fetchall()
        assert query(folder, "select id, note from raw_ext.published_latest order by id") == expected
        superuser.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()"
        )


def test_nothing_is_overwritten(folder: Path, source: psycopg.Connection[Any]) -> None:
    source.execute("create table things (id int primary key)")
    (folder / ".env").write_text("MINE=1\n")
    assert ".env: exists, and was left as it is" in run("init", "--yes").output
    assert (folder / ".env").read_text() == "MINE=1\n"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = run("init", "--yes", code=1)
    assert "pipeline.toml exists, and nothing is overwritten" in str(done.exception)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_streams_can_be_left_out_and_the_password_is_kept_private(
    folder: Path, source: psycopg.Connection[Any], databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.execute("create table kept (id int primary key)")
    source.execute("create table dropped (id int primary key)")
    env = databases.reader_env
    for name in env:
        monkeypatch.delenv(name, raising=False)
    url = f"postgresql://{env['POSTGRES_USER']}@{env['POSTGRES_HOST']}:{env['POSTGRES_PORT']}/{env['POSTGRES_DB']}"
    done = run("init", typed=f"{url}\n\n{env['POSTGRES_PASSWORD']}\ndropped\ny\n")
    assert list(streams_of(folder)) == ["kept"]
    assert env["POSTGRES_PASSWORD"] not in done.output
    assert (folder / ".env").stat().st_mode & 0o077 == 0
    run("doctor", "--json")
    assert not (folder / ".adventure").exists()


def test_without_a_database_it_says_how_to_name_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POSTGRES_HOST", "MONGO_HOST", "MONGO_URI"):
        monkeypatch.delenv(name, raising=False)
    assert "Add --postgres postgresql://user@host:5432/database or --mongo mongodb://host:27017" in str(
        run("init", "--yes", code=1).exception
    )
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_sample_databases_move_exactly_into_their_models(
    folder: Path, source: psycopg.Connection[Any], databases: Databases
) -> None:
    tables = {table: RENAMED.get(table, table) for table in SHAPES}
    for create, fill, _, _ in SHAPES.values():
        source.execute(create)
        source.execute(fill)
    for table, name in RENAMED.items():
        source.execute(f'alter table "{table}" rename to "{name}"'.encode())
    source.execute("create table empty (id int primary key)")
    source.execute("create table without_columns ()")
    source.execute("create table without_key as select 1 as n")
    source.execute('create table "odd names" (id int primary key, "say ""hi""" text, "select" int)')
    source.execute("""insert into "odd names" values (1, 'it''s "x"', 2)""")
    uri = databases.reader_env["MONGO_URI"].rstrip("/") + "/movies"
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        reviews = [
            {"_id": ObjectId(), "stars": n, "price": Decimal128("1.10"), "by.name": "x", "tags": ["a", n],
             "updatedAt": utc_now().replace(microsecond=0)}
            for n in range(5)
        ]  # fmt: skip
        client["movies"]["reviews"].insert_many(reviews)
        client["movies"]["undated"].insert_one({"n": 1})
    env = databases.reader_env
    url = psycopg.conninfo.make_conninfo(
        host=env["POSTGRES_HOST"], port=env["POSTGRES_PORT"], dbname=env["POSTGRES_DB"], user=env["POSTGRES_USER"],
        password=env["POSTGRES_PASSWORD"],
    )  # fmt: skip
    output = run("init", "--postgres", url, "--mongo", uri, "--yes").output
    sentences = " ".join(output.split())
    assert "Left out: movies.undated: a stream needs a date that changes with every update" in sentences
    assert "Left out: public.without_columns: it has no columns" in sentences

    run("process")
    run("tasks", "run")
    for table, name in tables.items():
        compare(folder, source, name, "stg_" + name.lower().replace(" ", "_"), table)
    held = query(folder, "select id, stars, price, tags::varchar, updatedat from dbt_prod.stg_reviews order by stars")
    assert held == [(str(each["_id"]), n, "1.10", f'["a",{n}]', each["updatedAt"]) for n, each in enumerate(reviews)]
    assert [row[:3] for row in query(folder, "from dbt_prod.stg_odd_names")] == [(1, 'it\'s "x"', 2)]
    run("reconcile")
    assert "without_key could not be compared" in str(run("reconcile", "without_key", code=1).exception)
    # An empty table has no raw table yet: its model is left out, and built after its first row.
    assert ("stg_empty",) not in models(folder)

    source.execute('delete from "Chinook Track" where "TrackId" < 10')
    source.execute("update pagila_film_actor set film_id = film_id + 100")
    source.execute("insert into empty values (1)")
    run("process")
    run("tasks", "run")
    for table in ("Chinook Track", "pagila_film_actor"):
        compare(folder, source, table, "stg_" + table.lower().replace(" ", "_"), table)
    assert query(folder, "select id from dbt_prod.stg_empty") == [(1,)]
    assert "None" not in run("status").output


def compare(folder: Path, source: psycopg.Connection[Any], table: str, model: str, shape: str) -> None:
    """Compare each value of each row with the source, as text."""
    source.execute("set timezone = 'UTC'")
    described = source.execute(f'select * from "{table}"'.encode()).description
    names = [column.name for column in described or ()]
    # The raw tables hold timestamps in UTC, without an offset.
    texts = ", ".join(f"regexp_replace(\"{name}\"::text, '(\\d\\d:\\d\\d)\\+00$', '\\1')" for name in names)
    expected = source.execute(f'select {texts} from "{table}"'.encode()).fetchall()
    held = query(folder, f"select {', '.join(map(shown, names))} from dbt_prod.{model}")
    assert expected, shape
    assert sorted(map(plain, held)) == sorted(map(plain, expected))


def query(folder: Path, statement: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / ".adventure" / "warehouse.duckdb")) as connection:
        return connection.execute(statement).fetchall()


def models(folder: Path) -> list[tuple[Any, ...]]:
    return query(folder, "select table_name from information_schema.tables where table_schema = 'dbt_prod'")
