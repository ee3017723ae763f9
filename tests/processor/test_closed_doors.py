"""Names are quoted, roles need only the documented privileges, and secrets are never shown."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql

from adventure.core import connect
from adventure.core.environment import load_settings
from adventure.core.errors import AdventureError
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.run import backfill
from adventure.demo.sandbox import Sandbox
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.run import process_once
from adventure.processor.state import read_watermarks
from tests.processor.conftest import stream_of
from tests.program import run_program

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "adventure"

HOSTILE = [
    'we"ird; drop table things; --',
    "it's {x} %s %(y)s %%",
    "../../etc/passwd",
    "tab\tnew\nline",
    "naïve 🚲 列",
    " leading and trailing ",
    "select",
    "$$; $1 \\x00 \\' E'",
    "a.b.c",
    "t",
    "n" * 63,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_schema_table_and_columns_are_quoted(
    settings: Settings, writer_settings: Settings, sandbox: Sandbox, name: str
) -> None:
    """The table has a converted row and a rejected row, and another table of this kind refers to it."""
    with psycopg.connect(sandbox.postgres.dsn(settings.postgres_db), autocommit=True) as connection:
        made = "create schema {name};"
        made += " create table {name}.{name} ({name} int primary key, {at} timestamptz, {n} numeric(9,2));"
        made += " create table {name}.{child} ({name} int, {up} int, {at} timestamptz);"
        made += " create index on {name}.{name} ({at}); create index on {name}.{child} ({at});"
        made += " insert into {name}.{name} values (1, now(), 1), (2, now(), 'NaN');"
        made += " insert into {name}.{child} values (7, 1, now());"
        made += " grant usage on schema {name} to adventure_reader;"
        made += " grant select on all tables in schema {name} to adventure_reader"
        parts = {
            "name": name,
            "at": f"at{name}"[:63],
            "n": f"n{name}"[:62],
            "child": f"c{name}"[:62],
            "up": f"u{name}"[:61],
        }
        names = {key: sql.Identifier(value) for key, value in parts.items()}
        connection.execute(sql.SQL(made).format(**names))
    parent = stream_of(name, namespace=name, cursor=parts["at"], key=(name,))
    child = stream_of(
        parts["child"],
        name="children",
        namespace=name,
        cursor=parts["at"],
        key=(name,),
        stage="children_stage",
        raw_table="raw_ext.children_raw",
        references={"things": (parts["up"],)},
    )
    process_once(settings, [parent, child])
    warehouse = DuckDBWarehouse(settings)
    for stream in (parent, child):
        warehouse.load(stream)
    quoted = '"' + name.replace('"', '""') + '"'
    assert warehouse.execute(f"select {quoted} from raw_ext.things_raw") == [(1,)]
    assert warehouse.execute(f"select {quoted} from raw_ext.children_raw") == [(7,)]
    assert warehouse.execute("select stream, key from raw_ext.rejected_rows") == [("things", "2")]


def test_a_hostile_database_name_is_quoted(settings: Settings, sandbox: Sandbox) -> None:
    name = 'it\'s "odd" host=elsewhere; ../ 🚲'
    with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    with psycopg.connect(sandbox.postgres.dsn(name), autocommit=True) as connection:
        connection.execute(
            "create table things (id int, changed_at timestamp default now()); insert into things values (1)"
        )
        connection.execute("grant select on things to adventure_reader")
    (report,) = process_once(settings.model_copy(update={"postgres_db": name}), [stream_of("things")]).streams
    assert report.rows_staged == 1


@pytest.mark.parametrize("name", ["../outside", "a/b", "a b", "it's", "", ".", "x;y", "näme", "raw.ext.t"])
@pytest.mark.parametrize("what", ["stage", "raw_table", "stream"])
def test_a_hostile_name_of_a_stage_raw_table_or_stream_is_refused(tmp_path: Path, name: str, what: str) -> None:
    import json

    names = {"stream": "s", "stage": "s_stage", "raw_table": "raw_ext.s"} | {what: name}
    text = f"[streams.{json.dumps(names['stream'])}]\n" + "\n".join(
        f"{key} = {json.dumps(value)}"
        for key, value in {
            "source": "postgres",
            "namespace": "public",
            "table": "t",
            "cursor": "c",
            "key": "k",
            "stage": names["stage"],
            "raw_table": names["raw_table"],
        }.items()
    )
    (tmp_path / "pipeline.toml").write_text(text, encoding="utf-8")
    with pytest.raises(AdventureError):
        load_streams(load_settings(pipeline_file=tmp_path / "pipeline.toml"))


def test_the_documented_roles_are_sufficient_and_minimal(
    sandbox: Sandbox, settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...]
) -> None:
    """Use roles that only the shipped SQL created, under their own names, and a database for the watermarks."""
    backfill(writer_settings, orders=20, days=3, seed=1)
    state = f"{settings.postgres_db}_watermarks"
    with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(state)))
    for database, script, role in (
        (settings.postgres_db, "sources/postgres/postgres_reader.sql", "adventure_reader"),
        (state, "processor/postgres_state.sql", "adventure_state"),
    ):
        text = (PACKAGE / script).read_text(encoding="utf-8").replace(role, f"{role}_exact")
        with psycopg.connect(sandbox.postgres.dsn(database), autocommit=True) as connection:
            connection.execute(text)  # type: ignore[arg-type]
            connection.execute(f"alter role {role}_exact password 'exact'")  # type: ignore[arg-type]
    exact = load_settings(
        **settings.model_dump(include={"postgres_host", "postgres_port", "postgres_db", "data_dir", "pipeline_file"}),
        postgres_user="adventure_reader_exact",
        postgres_password="exact",
        state_dsn=sandbox.postgres.dsn(state, user="adventure_state_exact", password="exact"),
    )
    process_once(exact, streams[:2])
    marks = read_watermarks(exact)
    assert {name: mark.mode for name, mark in marks.items()} == {"orders": "horizon", "order_details": "horizon"}
    with psycopg.connect(sandbox.postgres.dsn(settings.postgres_db)) as connection:
        held = connection.execute(
            "select distinct privilege_type from information_schema.role_table_grants"
            " where grantee = 'adventure_reader_exact'"
        ).fetchall()
        roles = connection.execute(
            "select r.rolname from pg_auth_members as m join pg_roles as r on r.oid = m.roleid"
            " join pg_roles as u on u.oid = m.member where u.rolname = 'adventure_reader_exact'"
        ).fetchall()
    assert (held, roles) == ([("SELECT",)], [("pg_read_all_stats",)])
    with psycopg.connect(exact.state_conninfo) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("create table public.mine (a int)")


CANARY = "canary-Xq7"

WRONG = {
    "wrong host": {"POSTGRES_HOST": "127.0.0.2", "POSTGRES_PORT": "1"},
    "wrong password": {},
    "tls that is not there": {"POSTGRES_SSLMODE": "verify-full", "POSTGRES_SSLROOTCERT": "system"},
    "a malformed state": {"STATE_DSN": f"{CANARY}-state host"},
    "a malformed state URI": {"STATE_DSN": f"postgresql://user:{CANARY}-state%zz@127.0.0.1:1/d"},
    "a state that is away": {"STATE_DSN": f"host=127.0.0.1 port=1 user=u password={CANARY}-state"},
    "a state that refuses": {
        "STATE_DSN": "host={host} port={port} user=adventure_state dbname=postgres password=" + CANARY
    },
    "a mongo that is away": {"MONGO_URI": f"mongodb://user:{CANARY}-mongo@127.0.0.1:1/?serverSelectionTimeoutMS=100"},
    "a malformed mongo": {"MONGO_URI": f"mongodb://user:pa:{CANARY}@{CANARY}@127.0.0.1:1:x/"},
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("command", [["--debug", "process"], ["process"], ["status"]])
def test_secrets_are_never_shown(
    settings: Settings,
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    what: str,
    command: list[str],
) -> None:
    """Secrets are neither in the output or files of a command, nor in a command line while it runs."""
    monkeypatch.setattr(connect, "RETRY_FOR_SEC", 0.2)
    place = {"host": settings.postgres_host, "port": settings.postgres_port}
    environment = {
        "POSTGRES_HOST": settings.postgres_host,
        "POSTGRES_PORT": str(settings.postgres_port),
        "POSTGRES_DB": settings.postgres_db,
        "POSTGRES_USER": "adventure_reader",
        "POSTGRES_PASSWORD": f"{CANARY}-postgres",
        "PGPASSWORD": f"{CANARY}-pg",
        "DATA_DIR": str(empty_folder / "data"),
        **{name: value.format(**place) if "{" in value else value for name, value in WRONG[what].items()},
    }
    with _command_lines() as lines:
        done = run_program(command, capfd, **environment)
    written = [path.read_text(errors="replace") for path in empty_folder.rglob("*") if path.is_file()]
    assert done.out + done.err, "it says what is wrong"
    assert not [text for text in (done.out, done.err, *lines, *written) if CANARY in text]
    if command != ["status"]:
        assert done.code != 0


@contextmanager
def _command_lines() -> Iterator[list[str]]:
    """Collect the command lines of all processes while the block runs."""
    lines: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        looked = False
        while not (looked and ended.wait(0.2)):
            lines.extend(" ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"]))
            looked = True

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lines
    finally:
        ended.set()
        watcher.join()
    assert lines
