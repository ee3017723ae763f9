"""Test several sources of a kind in one pipeline: each with its own settings, connection, slot, failures and names."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from adventure.cli import app
from adventure.core.clock import utc_now
from adventure.core.errors import ConfigError, SourceError, SourceRefused
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.process import free_port
from adventure.factory import open_source, open_warehouse
from adventure.monitoring.doctor import examine
from adventure.monitoring.health.rules import find_problems
from adventure.monitoring.live import read_state
from adventure.monitoring.observe import observe_sources
from adventure.processor.cycle import run_cycle
from adventure.processor.preview import preview
from adventure.processor.remove import remove_stream
from adventure.processor.report import CycleReport
from adventure.processor.run import open_pipeline
from adventure.processor.state import read_watermarks
from adventure.reconcile.run import reconcile
from tests.http.api import Api, answer
from tests.processor.conftest import superuser, writer
from tests.processor.test_log import change, slots

CREATE = (
    "create table things (id integer primary key,"
    " changed_at timestamp not null default (now() at time zone 'utc'), note text)"
)
PIPELINE = """
[sources.shop_eu]
kind = "postgres"
prefix = "EU_SHOP_"

[streams.things]
source = "postgres"
namespace = "public"
table = "things"
key = "id"
stage = "things_stage"
raw_table = "raw_ext.things_raw"
{how}

[streams.things_eu]
source = "shop_eu"
namespace = "public"
table = "things"
key = "id"
stage = "things_eu_stage"
raw_table = "raw_ext.things_eu_raw"
{how}
"""
CURSOR, LOG = 'cursor = "changed_at"', 'mode = "log"'


@pytest.fixture
def other(writer_settings: Settings, sandbox: Sandbox) -> Iterator[Settings]:
    """Settings of the application that writes into a second database. Both have a table of the same name."""
    name = f"{writer_settings.postgres_db}_eu"
    with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"create database {name} template template strategy file_copy owner sales_app".encode())
        connection.execute(f"grant connect on database {name} to adventure_reader".encode())
    other = writer_settings.model_copy(update={"postgres_db": name})
    for settings, first in ((writer_settings, 1), (other, 101)):
        change(settings, CREATE, "create index on things (changed_at)", "create publication adventure for table things")
        insert(settings, first, first + 9)
    yield other
    with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
        connection.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = %s", [name]
        )
        connection.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def both(log_settings: Settings, other: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a pipeline that reads both databases."""
    set_variables(log_settings.model_copy(update={"postgres_db": other.postgres_db}), monkeypatch)
    return with_pipeline(log_settings, tmp_path, PIPELINE.format(how=CURSOR))


def set_variables(source: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables of the source with the prefix `EU_SHOP_`."""
    for name in ("host", "port", "db", "user"):
        monkeypatch.setenv(f"EU_SHOP_{name.upper()}", str(getattr(source, f"postgres_{name}")))
    monkeypatch.setenv("EU_SHOP_PASSWORD", source.postgres_password.get_secret_value())


def with_pipeline(settings: Settings, folder: Path, text: str) -> Settings:
    path = folder / "several.toml"
    path.write_text(text, encoding="utf-8")
    return settings.model_copy(update={"pipeline_file": path})


def insert(settings: Settings, first: int, last: int) -> None:
    query = "insert into things (id, note) select n, 'note ' || n from generate_series(%s::int, %s::int) as n"
    with writer(settings) as connection:
        connection.execute(query, [first, last])


def cycle(settings: Settings, *streams: Stream) -> CycleReport:
    with open_pipeline(settings, streams, retry_for=0) as pipeline:
        return run_cycle(pipeline)


def check(settings: Settings, stream: Stream, there: Settings) -> None:
    """Load what is staged, and compare the latest version of each key with the source, row for row."""
    warehouse = open_warehouse(settings)
    warehouse.load(stream)
    names = "id, changed_at, note"
    held = warehouse.execute(f"select {names} from {stream.latest_view} order by id")
    with psycopg.connect(there.postgres_dsn) as connection:
        assert held == connection.execute(f"select {names} from things order by id").fetchall()  # type: ignore[arg-type]


def test_tables_of_the_same_name_arrive_in_their_own_raw_tables(
    both: Settings, writer_settings: Settings, other: Settings
) -> None:
    things, things_eu = load_streams(both)
    report = cycle(both, things, things_eu)
    assert not report.failures
    assert set(report.horizons) == {"postgres", "shop_eu"}
    insert(other, 111, 115)
    change(other, "update things set changed_at = now() at time zone 'utc', note = 'new' where id = 101")
    rows = {each.stream: each.rows_staged for each in cycle(both, things, things_eu).streams}
    assert rows == {"things": 0, "things_eu": 6}
    check(both, things, writer_settings)
    check(both, things_eu, other)


def test_both_databases_are_read_by_their_log_from_slots_of_their_own(
    both: Settings, writer_settings: Settings, other: Settings, tmp_path: Path
) -> None:
    both = with_pipeline(both, tmp_path, PIPELINE.format(how=LOG))
    streams = load_streams(both)
    assert not cycle(both, *streams).failures
    for there in (writer_settings, other):
        change(there, "delete from things where id % 10 = 3", "update things set note = 'new' where id % 10 = 4")
    for report in cycle(both, *streams).streams:
        assert report.window
        assert (report.window.rows, report.window.deletes and report.window.deletes.rows) == (1, 1)
    ours, theirs = slots(writer_settings), slots(other)
    assert len(ours) == len(theirs) == 1
    assert set(ours) != set(theirs)
    assert {mark.mode for mark in read_watermarks(both).values()} == {"log"}
    check(both, streams[0], writer_settings)
    check(both, streams[1], other)
    list(remove_stream(both, streams[1]))
    assert (slots(writer_settings).keys(), slots(other)) == (ours.keys(), {})


def by_dsn(both: Settings, other: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch, **changed: str) -> Settings:
    """Return the settings of the same pipeline, with the second database named by one variable."""
    for name in ("HOST", "PORT", "DB", "USER", "PASSWORD"):
        monkeypatch.delenv(f"EU_SHOP_{name}", raising=False)
    parts = {
        "user": other.postgres_user,
        "password": other.postgres_password.get_secret_value(),
        "host": other.postgres_host,
        "port": str(other.postgres_port),
        "db": other.postgres_db,
    } | changed
    url = "postgresql://{user}:{password}@{host}:{port}/{db}?sslmode=prefer&options=-c%20work_mem%3D5MB"
    monkeypatch.setenv("SHOP2_DATABASE_URL", url.format(**parts))
    text = PIPELINE.format(how=CURSOR).replace('prefix = "EU_SHOP_"', 'dsn = "SHOP2_DATABASE_URL"')
    return with_pipeline(both, folder, text)


def test_one_variable_may_hold_the_whole_address(
    both: Settings, writer_settings: Settings, other: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = by_dsn(both, reader_of(both, other), tmp_path, monkeypatch)
    things, things_eu = load_streams(both)
    report = cycle(both, things, things_eu)
    assert not report.failures
    insert(other, 111, 115)
    rows = {each.stream: each.rows_staged for each in cycle(both, things, things_eu).streams}
    assert rows == {"things": 0, "things_eu": 5}
    check(both, things, writer_settings)
    check(both, things_eu, other)
    with open_pipeline(both, (things_eu,), retry_for=0) as pipeline:
        source = pipeline.sources["shop_eu"]
        with source._reader.asking.cursor() as asking:  # type: ignore[attr-defined]
            assert asking.execute("show work_mem").fetchone() == ("5MB",), "the address's other parameters count"


def reader_of(both: Settings, other: Settings) -> Settings:
    return both.model_copy(update={"postgres_db": other.postgres_db})


@pytest.mark.parametrize("changed", [{"password": "the-wrong-one"}, {"port": "1"}, {"db": "absent"}])
def test_a_failure_names_the_variable_and_never_its_password(
    both: Settings,
    other: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    reader = reader_of(both, other)
    password = reader.postgres_password.get_secret_value()
    secrets = [f":{password}@", f"password={password}", "the-wrong-one"]
    both = by_dsn(both, reader, tmp_path, monkeypatch, **changed)
    streams = load_streams(both)
    failed = cycle(both, *streams).failures["things_eu"]
    assert "SHOP2_DATABASE_URL" in (failed.remedy or "")
    findings = list(examine(both, streams, Path("absent.env")))
    problems = find_problems(read_state(both, streams))
    assert any("shop_eu" in each.sentence for each in problems)
    texts = f"{failed} {failed.remedy} {findings} {problems} {streams!r} {streams[1].own_source!r} {capfd.readouterr()}"
    assert "EU_SHOP_" not in texts
    assert not [secret for secret in secrets if secret in texts]


@pytest.mark.parametrize(
    ("value", "url", "said"),
    [
        ("postgresql://reader:swordfish@db/shop", None, "must be the name of a variable"),
        ("SHOP2_DATABASE_URL", None, "SHOP2_DATABASE_URL is not set"),
        ("SHOP2_DATABASE_URL", "postgresql://reader:swordfish@db/shop?colour=1", "no"),
        ("SHOP2_DATABASE_URL", "reader:swordfish", "SHOP2_DATABASE_URL is not a libpq connection string"),
        ("POSTGRES_HOST", "x", "POSTGRES_HOST is a setting of Adventure itself already"),
    ],
)
def test_a_wrong_dsn_is_refused_and_not_shown(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, url: str | None, said: str
) -> None:
    if url and value.startswith("SHOP2"):
        monkeypatch.setenv("SHOP2_DATABASE_URL", url)
    text = PIPELINE.format(how=CURSOR).replace('prefix = "EU_SHOP_"', f'dsn = "{value}"')
    with pytest.raises(ConfigError) as caught:
        load_streams(with_pipeline(settings, tmp_path, text))
    assert said in str(caught.value)
    assert "swordfish" not in f"{caught.value} {caught.value.__cause__} {caught.value.remedy}"


@pytest.mark.parametrize(
    ("old", "new", "streams"),
    [
        ('namespace = "public"', 'namespace = "${EU_SHOP_USER}"', ["things", "things_eu"]),
        ('source = "shop_eu"', 'source = "shop_eu"\nneeds = "EU_SHOP_HOST"', ["things", "things_eu"]),
        ('source = "shop_eu"', 'source = "shop_eu"\nneeds = "EU_SHOP_SSLMODE"', ["things"]),
    ],
)
def test_an_entry_may_name_settings_of_a_source(
    both: Settings, tmp_path: Path, old: str, new: str, streams: list[str]
) -> None:
    found = load_streams(with_pipeline(both, tmp_path, PIPELINE.format(how=CURSOR).replace(old, new)))
    assert [stream.name for stream in found] == streams
    assert found[0].namespace == (os.environ["EU_SHOP_USER"] if "USER" in new else "public")


@pytest.mark.parametrize("name", ["EU_SHOP_PASSWORD", "EU_SHOP_NOTHING"])
def test_an_entry_may_name_no_secret_of_a_source(both: Settings, tmp_path: Path, name: str) -> None:
    text = PIPELINE.format(how=CURSOR).replace('table = "things"', f'table = "${{{name}}}"')
    with pytest.raises(ConfigError, match=f"{name}.* is not a setting that can be used here") as caught:
        load_streams(with_pipeline(both, tmp_path, text))
    assert os.environ["EU_SHOP_PASSWORD"] not in str(caught.value)


def test_two_sources_may_be_one_database(
    both: Settings, writer_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its own slot, and none takes or drops that of the other."""
    set_variables(both, monkeypatch)
    both = with_pipeline(both, tmp_path, PIPELINE.format(how=LOG))
    streams = load_streams(both)
    cycle(both, *streams)
    held = slots(writer_settings)
    assert len(held) == 2
    for stream, note in ((streams[1], "one"), (streams[0], "two")):
        change(writer_settings, f"update things set note = '{note}' where id < 4")  # type: ignore[arg-type]
        assert not cycle(both, stream).failures, "a command may run one of them"
    assert not cycle(both, *streams).failures
    assert slots(writer_settings).keys() == held.keys()
    for stream in streams:
        check(both, stream, writer_settings)


def test_a_source_that_is_down_stops_no_other_of_its_kind(
    both: Settings, writer_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port(None)
    monkeypatch.setenv("EU_SHOP_PORT", str(port))
    streams = load_streams(both)
    report = cycle(both, *streams)
    assert [each.stream for each in report.streams] == ["things"]
    (failed,) = report.failures
    assert failed == "things_eu"
    check(both, streams[0], writer_settings)
    seen = {each.source: each for each in observe_sources(both, streams).sources}
    assert seen["postgres"].fault is None
    assert seen["shop_eu"].streams == ("things_eu",)
    (problem,) = [each for each in find_problems(read_state(both, streams)) if each.kind == "source_unavailable"]
    assert problem.sentence.startswith(f"the source shop_eu (PostgreSQL at 127.0.0.1:{port}")
    assert problem.remedy == "Check that it runs, and EU_SHOP_HOST and EU_SHOP_PORT"
    assert problem.streams == ("things_eu",)


def test_a_refused_password_is_named_by_its_own_setting(both: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EU_SHOP_PASSWORD", "the-wrong-one")
    _, things_eu = load_streams(both)
    with pytest.raises(SourceRefused, match="the source shop_eu") as caught:
        open_source(things_eu.opens, both)
    assert "EU_SHOP_PASSWORD" in (caught.value.remedy or "")
    assert "POSTGRES_" not in str(caught.value)
    assert "the-wrong-one" not in f"{caught.value} {things_eu!r}"


def test_a_source_lacks_what_is_not_set_for_it(both: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password of the usual source is sent to no other."""
    monkeypatch.delenv("EU_SHOP_PASSWORD")
    _, things_eu = load_streams(both)
    assert things_eu.own_source
    assert things_eu.own_source.settings(both).postgres_password.get_secret_value() == ""


def test_reconcile_compares_each_stream_with_its_own_database(both: Settings, other: Settings) -> None:
    streams = load_streams(both)
    cycle(both, *streams)
    for stream in streams:
        open_warehouse(both).load(stream)
    change(other, "delete from things where id = 105")
    ours, theirs = reconcile(both, streams)
    assert ours.result
    assert theirs.result
    assert (ours.result.differs, theirs.result.count("deleted")) == (False, 1)
    *_, repaired = reconcile(both, streams[1:], repair=True)
    assert repaired.repaired
    check(both, streams[1], other)


def test_doctor_plan_and_status_name_the_source(both: Settings, sandbox: Sandbox, other: Settings) -> None:
    streams = load_streams(both)
    assert [(each.stream, each.rows) for each in preview(both, streams)] == [("things", 10), ("things_eu", 10)]
    assert {"postgres", "shop_eu"} <= {each.part for each in examine(both, streams, Path("absent.env"))}
    with superuser(sandbox, other) as connection:
        connection.execute("revoke select on things from adventure_reader")
    found = [each for each in examine(both, streams, Path("absent.env")) if each.level == "error"]
    assert [each.part for each in found] == ["things_eu"]


def test_a_settings_file_may_hold_them(both: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds them there, and says of none that it is unknown; but of a misspelt one it does."""
    env_file = tmp_path / "own.env"
    lines = [f"{name.upper()}={value}" for name, value in _given(both).items()]
    for name in ("HOST", "PORT", "DB", "USER", "PASSWORD"):
        lines.append(f"EU_SHOP_{name}={os.environ[f'EU_SHOP_{name}']}")
        monkeypatch.delenv(f"EU_SHOP_{name}")
    env_file.write_text("\n".join([*lines, "EU_SHOP_PASWORD=x"]), encoding="utf-8")
    run = CliRunner().invoke(app, ["--env", str(env_file), "process"], catch_exceptions=False)
    assert run.exit_code == 0, run.output
    assert [line for line in run.output.splitlines() if "is not a setting" in line and "EU_SHOP_" in line] == [
        line for line in run.output.splitlines() if "EU_SHOP_PASWORD is not a setting" in line
    ]
    status = CliRunner().invoke(app, ["--env", str(env_file), "status", "--json"])
    assert [each["stream"] for each in json.loads(status.stdout)["streams"]] == ["things", "things_eu"]


def _given(settings: Settings) -> dict[str, object]:
    names = ("postgres_host", "postgres_port", "postgres_db", "postgres_user", "data_dir", "pipeline_file")
    secrets = {name: getattr(settings, name).get_secret_value() for name in ("postgres_password", "state_dsn")}
    return {name: getattr(settings, name) for name in names} | secrets


def test_documents_of_two_databases_arrive(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.mongo_uri
    uri = settings.mongo_uri.get_secret_value()
    monkeypatch.setenv("CHATS_EU_URI", uri)
    entry = (
        '[streams.{name}]\nsource = "{source}"\nnamespace = "{database}"\ntable = "notes"\ncursor = "at"\nkey = "_id"\n'
        'stage = "{name}_stage"\nraw_table = "raw_ext.{name}_raw"\n'
    )
    pipeline = '[sources.chats_eu]\nkind = "mongo"\n'
    pipeline += entry.format(name="notes", source="mongo", database=settings.mongo_db)
    pipeline += entry.format(name="notes_eu", source="chats_eu", database=f"{settings.mongo_db}_eu")
    settings = with_pipeline(settings, tmp_path, pipeline)
    streams = load_streams(settings)
    with pymongo.MongoClient[dict[str, object]](uri) as client:
        for stream, ids in zip(streams, ((1, 2), (3, 4, 5)), strict=True):
            notes = client[stream.namespace]["notes"]
            notes.create_index("at")
            notes.insert_many([{"_id": n, "at": "2026-01-01T00:00:00Z"} for n in ids])
    report = cycle(settings, *streams)
    assert not report.failures
    assert {each.stream: each.rows_staged for each in report.streams} == {"notes": 2, "notes_eu": 3}
    monkeypatch.setenv("CHATS_EU_URI", f"mongodb://127.0.0.1:{free_port(None)}")
    report = cycle(settings, *load_streams(settings))
    assert [each.stream for each in report.streams] == ["notes"]
    assert "CHATS_EU_URI" in str(report.failures["notes_eu"])


def test_records_of_two_apis_arrive_and_each_gets_its_own_token(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = (
        '[streams.{name}]\nsource = "{source}"\nnamespace = "shop"\ntable = "reviews"\ncursor = "meta.changed"\n'
        'key = "id"\nlookback = 60\nstage = "{name}_stage"\nraw_table = "raw_ext.{name}_raw"\n'
        'api = {{ records = "data.items", since = "since", pages = "next", next = "paging.next" }}\n'
    )
    pipeline = '[sources.api_eu]\nkind = "http"\nprefix = "EU_API_"\n'
    pipeline += entry.format(name="opinions", source="http") + entry.format(name="opinions_eu", source="api_eu")
    with Api().running() as ours, Api().running() as theirs:
        ours.put_many(4, utc_now() - timedelta(hours=1))
        theirs.put_many(7, utc_now() - timedelta(hours=1))
        monkeypatch.setenv("EU_API_URL", theirs.url)
        monkeypatch.setenv("EU_API_TOKEN", "theirs")
        own = settings.model_copy(update={"api_url": ours.url, "api_token": SecretStr("ours")})
        own = with_pipeline(own, tmp_path, pipeline)
        report = cycle(own, *load_streams(own))
        assert not report.failures
        assert {each.stream: each.rows_staged for each in report.streams} == {"opinions": 4, "opinions_eu": 7}
        for api, token in ((ours, "ours"), (theirs, "theirs")):
            assert {request.headers["authorization"] for request in api.requests} == {f"Bearer {token}"}
        theirs.always = answer(b"", 401)
        _, opinions_eu = load_streams(own)
        failure = str(cycle(own, opinions_eu).failures["opinions_eu"])
        assert "Check EU_API_TOKEN and EU_API_HEADERS" in failure


def held_documents(settings: Settings, stream: Stream) -> list[dict[str, Any]]:
    """Load what is staged, and return the latest version of each document in the order of the keys."""
    warehouse = open_warehouse(settings)
    warehouse.load(stream)
    found = [json.loads(raw) for (raw,) in warehouse.execute(f"select raw from {stream.latest_view}")]
    return sorted(found, key=lambda document: str(document[stream.key[0]]))


def test_one_variable_may_hold_the_whole_address_of_a_mongodb(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New, changed and deleted documents arrive; the failure names the variable, and not its password."""
    assert settings.mongo_uri
    uri, database = settings.mongo_uri.get_secret_value(), f"{settings.mongo_db}_eu"
    monkeypatch.setenv("CHATS2_URL", uri)
    pipeline = (
        '[sources.chats_eu]\nkind = "mongo"\ndsn = "CHATS2_URL"\n'
        f'[streams.notes_eu]\nsource = "chats_eu"\nnamespace = "{database}"\ntable = "notes"\ncursor = "at"\n'
        'key = "_id"\nstage = "notes_eu_stage"\nraw_table = "raw_ext.notes_eu_raw"\n'
    )
    settings = with_pipeline(settings.model_copy(update={"mongo_uri": None}), tmp_path, pipeline)
    (stream,) = load_streams(settings)
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        notes = client[database]["notes"]
        notes.create_index("at")
        notes.insert_many([{"_id": n, "at": f"2026-01-0{n}T00:00:00Z", "text": f"{n}"} for n in range(1, 6)])
        for _ in range(2):
            assert not cycle(settings, stream).failures
            assert held_documents(settings, stream) == list(notes.find().sort("_id"))
            notes.delete_one({"_id": 2})
            notes.update_one({"_id": 3}, {"$set": {"text": "new", "at": "2026-02-01T00:00:00Z"}})
            notes.insert_one({"_id": len(list(notes.find())) + 5, "at": "2026-02-02T00:00:00Z", "text": "late"})
    monkeypatch.setenv(
        "CHATS2_URL", f"mongodb://reader:swordfish@127.0.0.1:{free_port(None)}/?serverSelectionTimeoutMS=200"
    )
    with pytest.raises(SourceError, match="CHATS2_URL") as caught:
        cycle(settings, *load_streams(settings))
    text = f"{caught.value} {caught.value.remedy}"
    assert not [name for name in ("swordfish", "MONGO_", "CHATS_EU_") if name in text]
    assert "swordfish" not in repr(load_streams(settings))


def test_one_variable_may_hold_the_whole_address_of_an_api(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New and changed records arrive. The token has a setting of its own, with the source's prefix."""
    pipeline = (
        '[sources.api_eu]\nkind = "http"\ndsn = "REVIEWS_ADDRESS"\n'
        '[streams.opinions_eu]\nsource = "api_eu"\nnamespace = "shop"\ntable = "reviews"\ncursor = "meta.changed"\n'
        'key = "id"\nlookback = 60\nstage = "opinions_eu_stage"\nraw_table = "raw_ext.opinions_eu_raw"\n'
        'api = { records = "data.items", since = "since", pages = "next", next = "paging.next" }\n'
    )
    settings = with_pipeline(settings, tmp_path, pipeline)
    with Api().running() as api:
        monkeypatch.setenv("REVIEWS_ADDRESS", api.url)
        monkeypatch.setenv("API_EU_TOKEN", "theirs")
        (stream,) = load_streams(settings)
        api.put_many(7, utc_now() - timedelta(hours=1))
        for number in range(2):
            assert not cycle(settings, stream).failures
            assert held_documents(settings, stream) == [api.records[key] for key in sorted(api.records)]
            api.put(sorted(api.records)[number], utc_now() - timedelta(minutes=5 - number), rating=number)
        assert {request.headers["authorization"] for request in api.requests} == {"Bearer theirs"}
    failed = cycle(settings, stream).failures["opinions_eu"]
    assert "REVIEWS_ADDRESS" in f"{failed} {failed.remedy}"
    assert "API_URL" not in f"{failed} {failed.remedy}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('source = "shop_eu"', 'source = "shop_ue"'), "Did you mean shop_eu?"),
        (('prefix = "EU_SHOP_"', 'prefx = "EU_SHOP_"'), "Did you mean prefix?"),
        (('prefix = "EU_SHOP_"', 'prefix = "eu_shop"'), "prefix: must be upper case"),
        (('prefix = "EU_SHOP_"', 'prefix = "POSTGRES_"'), "POSTGRES_HOST is a setting of Adventure itself already"),
        (('prefix = "EU_SHOP_"', 'prefix = "EUSHOP_"'), "none of its settings is set, but EU_SHOP_HOST is"),
        (('kind = "postgres"', 'kind = "oracle"'), "kind: must be 'postgres' or 'mongo' or 'http'"),
        (("[sources.shop_eu]", "[sources.postgres]"), "no kind's"),
    ],
)
def test_a_wrong_table_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], said: str
) -> None:
    monkeypatch.setenv("EU_SHOP_HOST", "127.0.0.1")
    with pytest.raises(ConfigError) as caught:
        load_streams(with_pipeline(settings, tmp_path, PIPELINE.format(how=CURSOR).replace(*change)))
    assert said in str(caught.value)


def test_a_setting_that_cannot_be_used_is_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EU_SHOP_PORT", "secret")
    with pytest.raises(ConfigError, match="EU_SHOP_PORT must be a whole number") as caught:
        load_streams(with_pipeline(settings, tmp_path, PIPELINE.format(how=CURSOR)))
    assert "secret" not in str(caught.value)


def test_the_usual_streams_need_no_other_settings(settings: Settings, tmp_path: Path) -> None:
    """A source that no stream names is not asked for its settings."""
    text = PIPELINE.format(how=CURSOR).replace('source = "shop_eu"', 'source = "postgres"')
    streams = load_streams(with_pipeline(settings, tmp_path, text))
    assert [replace(stream, own_source=None) for stream in streams] == list(streams)
