"""Rows or columns that the role may not see stop their stream with an error, and no other stream."""

import threading
from collections.abc import Callable

import pytest

from adventure.core.errors import SourceRefused
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox import Sandbox
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.monitoring.checks.flow import flow_checks
from adventure.monitoring.problems import find_problems
from adventure.processor.run import process_forever, process_once
from adventure.reconcile.run import reconcile
from tests.processor.conftest import Rows, stream_of, superuser, writer
from tests.waiting import until

Staged = Callable[[Stream], Rows]

SECRETS = stream_of("secrets", name="secrets", stage="secrets_stage", raw_table="raw_ext.secrets_raw")

HIDING = {
    "no policy": "alter table secrets enable row level security",
    "a policy that shows some": "alter table secrets enable row level security;"
    " create policy few on secrets for select to public using (id < 3)",
    "forced upon the owner": "alter table secrets enable row level security;"
    " alter table secrets force row level security",
}


@pytest.fixture
def secrets(writer_settings: Settings, things: Stream) -> Stream:
    """Create a table beside `things`, both with rows."""
    with writer(writer_settings) as connection:
        connection.execute(
            "create table secrets (id integer primary key, changed_at timestamptz not null default now(), note text)"
        )
        connection.execute("create index on secrets (changed_at)")
        connection.execute("insert into secrets (id) select generate_series(1, 20)")
        connection.execute("insert into things (id) values (1)")
    return SECRETS


def run(settings: Settings, statements: str) -> None:
    with writer(settings) as connection:
        connection.execute(statements)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", HIDING)
def test_row_level_security_refuses_its_stream_and_no_other(
    settings: Settings, writer_settings: Settings, things: Stream, secrets: Stream, staged: Staged, how: str
) -> None:
    run(writer_settings, HIDING[how])
    with pytest.raises(SourceRefused) as caught:
        process_once(settings, [secrets, things])
    assert "stream secrets" in caught.value.problem
    assert "row-level security" in caught.value.problem
    assert "bypassrls" in caught.value.remedy
    assert (len(staged(things)), len(staged(secrets))) == (1, 0)


def test_row_level_security_below_a_view_is_found(
    settings: Settings, writer_settings: Settings, things: Stream, secrets: Stream, staged: Staged
) -> None:
    run(
        writer_settings,
        HIDING["forced upon the owner"]
        + "; create view shown as select * from secrets; grant select on shown to adventure_reader",
    )
    shown = stream_of("shown")
    with pytest.raises(SourceRefused, match="row-level security"):
        process_once(settings, [shown])
    assert staged(shown) == []


def test_a_role_that_bypasses_row_level_security_reads_all(
    sandbox: Sandbox, settings: Settings, writer_settings: Settings, secrets: Stream, staged: Staged
) -> None:
    run(writer_settings, HIDING["no policy"])
    with superuser(sandbox, settings) as connection:
        connection.execute("alter role adventure_reader bypassrls")
    try:
        process_once(settings, [secrets])
    finally:
        with superuser(sandbox, settings) as connection:
            connection.execute("alter role adventure_reader nobypassrls")
    assert len(staged(secrets)) == 20


def test_reconcile_check_and_status_report_hidden_rows_and_delete_nothing(
    settings: Settings, writer_settings: Settings, things: Stream, secrets: Stream
) -> None:
    process_once(settings, [secrets, things])
    warehouse = DuckDBWarehouse(settings)
    for stream in (secrets, things):
        warehouse.load(stream)
    run(writer_settings, HIDING["no policy"])
    of_secrets, of_things = reconcile(settings, [secrets, things], repair=True)
    assert of_secrets.failure is not None
    assert "row-level security" in str(of_secrets.failure)
    assert (of_secrets.result, of_secrets.repaired, of_secrets.is_clean) == (None, None, False)
    assert of_things.is_clean
    (failed,) = [check for check in flow_checks(settings, warehouse, secrets) if check.failed]
    assert "row-level security" in failed.actual
    assert not [check for check in flow_checks(settings, warehouse, things) if check.failed and "raw" in check.name]
    (problem,) = find_problems(settings, [secrets, things], warehouse)
    assert "row-level security" in problem.sentence
    assert "secrets" in problem.sentence


def test_a_stream_is_read_again_once_its_rows_are_visible(
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    secrets: Stream,
    staged: Staged,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(writer_settings, HIDING["no policy"])
    stop = threading.Event()
    processor = threading.Thread(
        target=process_forever,
        args=[settings, [secrets, things]],
        kwargs={"interval": 0.1, "max_runtime": 120, "stop": stop},
    )
    processor.start()
    try:
        until(lambda: len(staged(things)) == 1)
        run(writer_settings, "insert into things (id) values (2)")
        until(lambda: len(staged(things)) == 2)
        run(writer_settings, "alter table secrets disable row level security")
        until(lambda: len(staged(secrets)) == 20)
    finally:
        stop.set()
        processor.join()
    assert capsys.readouterr().out.count("may hide rows of public.secrets") == 1


@pytest.mark.parametrize(
    ("grants", "sentence", "remedy"),
    [
        ("grant select (id, note) on secrets", r"column changed_at of public\.secrets", "grant select ("),
        ("", r"may not read public\.secrets", "grant select on"),
    ],
)
def test_an_error_lists_the_columns_without_a_grant(
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    secrets: Stream,
    staged: Staged,
    grants: str,
    sentence: str,
    remedy: str,
) -> None:
    run(writer_settings, "revoke select on secrets from adventure_reader")
    if grants:
        run(writer_settings, f"{grants} to adventure_reader")
    with pytest.raises(SourceRefused, match=sentence) as caught:
        process_once(settings, [secrets, things])
    assert remedy in caught.value.remedy
    assert len(staged(things)) == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("create schema closed; alter table secrets set schema closed", r"USAGE|usage"),
        (
            "alter table secrets rename to base; create view secrets as select * from base;"
            " grant select on secrets to adventure_reader; alter view secrets owner to adventure_state",
            "base",
        ),
    ],
)
def test_missing_privileges_around_a_table_stop_only_its_stream(
    sandbox: Sandbox, settings: Settings, things: Stream, secrets: Stream, staged: Staged, change: str, sentence: str
) -> None:
    with superuser(sandbox, settings) as connection:
        connection.execute(change)  # type: ignore[arg-type]
    stream = stream_of("secrets", name="secrets", namespace="closed") if "closed" in change else secrets
    with pytest.raises(SourceRefused, match=sentence):
        process_once(settings, [stream, things])
    assert len(staged(things)) == 1
