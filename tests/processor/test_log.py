"""Test tables that are read by PostgreSQL's log: what arrives equals the source, row for row, and nothing is lost."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import LiteralString

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from adventure.core import faults
from adventure.core.errors import SourceError
from adventure.core.settings import Settings
from adventure.core.streams import READ_AT, Stream
from adventure.demo.sandbox import Sandbox
from adventure.factory import open_probe, open_warehouse
from adventure.monitoring.checks.flow import count_rows
from adventure.processor.cycle import run_cycle
from adventure.processor.remove import remove_stream
from adventure.processor.report import CycleReport
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import read_watermarks
from adventure.reconcile.run import reconcile
from adventure.sources.postgres.log import cycle as log_cycle
from adventure.sources.postgres.log import keys as log_keys
from adventure.tasks.metrics import TaskMetrics
from adventure.tasks.watch import check_health
from tests.processor.conftest import stream_of, superuser, writer

CREATE = "create table films (id integer, lang text, title text, rate numeric(4,2), primary key (id, lang))"
FILMS = "insert into films select n, 'en', 'Film ' || n, n / 7.0 from generate_series(1, 20) as n"
PUBLISH = "create publication adventure for table films with (publish_via_partition_root = true)"


def log_of(table: str, key: tuple[str, ...]) -> Stream:
    return stream_of(
        table,
        name=table,
        mode="log",
        cursor=READ_AT,
        key=key,
        stage=f"{table}_stage",
        raw_table=f"raw_ext.{table}_raw",
    )


@pytest.fixture
def films(writer_settings: Settings) -> Stream:
    """Twenty films in a published table without a cursor."""
    change(writer_settings, CREATE, FILMS, PUBLISH)
    return log_of("films", ("id", "lang"))


def change(settings: Settings, *statements: LiteralString) -> None:
    with writer(settings) as connection:
        for statement in statements:
            connection.execute(statement)


def mode(settings: Settings) -> str:
    return read_watermarks(settings)["films"].mode


def check_films(settings: Settings, writer_settings: Settings, stream: Stream) -> None:
    """Load what is staged, and compare the latest version of each key with the source, row for row."""
    warehouse = open_warehouse(settings)
    warehouse.load(stream)
    names = "id, lang, title, rate"
    held = warehouse.execute(f"select {names} from {stream.latest_view} order by all")
    with psycopg.connect(writer_settings.postgres_dsn) as connection:
        there = connection.execute(f"select {names} from {stream.table} order by 1, 2, 3, 4").fetchall()  # type: ignore[arg-type]
    assert held == there
    counts = count_rows(settings, warehouse, stream)
    assert (counts.source, counts.raw) == (len(there), len(there))


def staged_of(report: CycleReport) -> tuple[int, int]:
    """Return how many rows and deletions the only stream's window has."""
    (stream,) = report.streams
    assert not report.failures
    window = stream.window
    return (window.rows, window.deletes.rows if window.deletes else 0) if window else (0, 0)


def cycle(settings: Settings, *streams: Stream) -> tuple[int, int]:
    """Run one cycle of one stream; return how many rows and deletions it staged."""
    return staged_of(process_once(settings, streams))


def slots(settings: Settings) -> dict[str, int]:
    """Return the database's slots, and how far each is confirmed."""
    query = (
        "select slot_name, (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots"
        " where database = current_database()"
    )
    with writer(settings) as connection:
        return dict(connection.execute(query).fetchall())


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


class Killed(BaseException):
    pass


CHANGES: list[tuple[LiteralString, int, int]] = [
    ("insert into films values (21, 'en', null, null)", 1, 0),
    ("update films set title = 'New' where id <= 2", 2, 0),
    ("delete from films where id > 17", 0, 4),
    ("delete from films where id = 5; insert into films select 5, 'en', 'Film 5', 0.5", 1, 0),
    ("update films set id = 100 where id = 1", 1, 1),
    ("update films set title = title", 17, 0),
    ("begin; savepoint s; delete from films where id = 3; rollback to s; delete from films where id = 4; commit", 0, 1),
    ("begin; delete from films; rollback", 0, 0),
    ("alter table films add column year integer default 1999; update films set title = 'y' where id < 4", 2, 0),
    ("truncate films; insert into films values (3, 'en', 'Again', 1)", 1, 0),
    ("truncate films", 0, 0),
    ("insert into films values (9, 'x\"\\{}, '' \t', 'Odd key', 1)", 1, 0),
]


def test_each_change_arrives(log_settings: Settings, writer_settings: Settings, films: Stream) -> None:
    assert cycle(log_settings, films) == (20, 0)
    for statement, changed, deleted in CHANGES:
        change(writer_settings, statement)
        assert cycle(log_settings, films) == (changed, deleted), statement
        check_films(log_settings, writer_settings, films)
    assert cycle(log_settings, films) == (0, 0)
    assert mode(log_settings) == "log"
    (report,) = reconcile(log_settings, [films])
    assert report.result
    assert not report.result.differs


@pytest.mark.parametrize("point", ["files_finished", "window_staged", "watermark_moved"])
def test_a_kill_at_any_point_loses_nothing(
    log_settings: Settings, writer_settings: Settings, films: Stream, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row is deleted and another one updated, the processor is killed, and both are changed back."""
    cycle(log_settings, films)
    change(writer_settings, "delete from films where id = 5", "update films set title = 'x' where id = 6")
    before = slots(writer_settings)

    def kill(reached: faults.Point, *_: object) -> None:
        if reached.name.lower() == point:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("adventure.processor.cycle.reached", kill)
        with pytest.raises(Killed):
            cycle(log_settings, films)
    assert slots(writer_settings) == before, "the slot moves only after the watermark"
    change(writer_settings, "insert into films values (5, 'en', 'Back', 1)", "delete from films where id = 7")
    cycle(log_settings, films)
    check_films(log_settings, writer_settings, films)
    assert cycle(log_settings, films) == (0, 0)


def test_a_commit_that_is_not_visible_yet_waits_for_the_next_window(
    log_settings: Settings, writer_settings: Settings, films: Stream, sandbox: Sandbox
) -> None:
    """The writer waits for a standby: its commit is in the log, and no snapshot sees it."""
    cycle(log_settings, films)
    with superuser(sandbox, log_settings) as server, writer(writer_settings) as waiting:
        pid = waiting.info.backend_pid
        try:
            server.execute("alter system set synchronous_commit = 'local'")
            server.execute("alter system set synchronous_standby_names = 'missing'")
            server.execute("select pg_reload_conf()")
            wait_for(lambda: server.execute("show synchronous_standby_names").fetchone() == ("missing",))
            # Commits begin to wait when the checkpointer has read the setting, too.
            server.execute("checkpoint")
            waiting.execute("set synchronous_commit = on")
            thread = threading.Thread(target=waiting.execute, args=("delete from films where id = 1",))
            thread.start()
            at_wait = "select wait_event from pg_stat_activity where pid = %s"
            wait_for(lambda: server.execute(at_wait, [pid]).fetchone() == ("SyncRep",))
            change(writer_settings, "set synchronous_commit = local; update films set title = 'x' where id = 2")
            assert cycle(log_settings, films) == (0, 0)
            assert cycle(log_settings, films) == (0, 0)
        finally:
            server.execute("alter system reset synchronous_standby_names")
            server.execute("alter system reset synchronous_commit")
            server.execute("select pg_reload_conf()")
        thread.join()
    assert cycle(log_settings, films) == (1, 1)
    check_films(log_settings, writer_settings, films)


def test_a_large_transaction_is_read_in_pieces(
    log_settings: Settings, writer_settings: Settings, films: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_keys, "KEYS_A_PIECE", 500)
    cycle(log_settings, films)
    change(
        writer_settings,
        "begin; insert into films select n, 'de', 'Film ' || n, 1 from generate_series(1, 3000) as n;"
        " update films set title = 'Old' where lang = 'de'; delete from films where id % 3 = 0; commit",
    )
    assert cycle(log_settings, films) == (4000, 3006), "a key is in several pieces if it changes several times"
    check_films(log_settings, writer_settings, films)


def test_a_backlog_takes_several_cycles(
    log_settings: Settings, writer_settings: Settings, films: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_cycle, "CHANGES_A_CYCLE", 10)
    cycle(log_settings, films)
    for _ in range(3):
        change(writer_settings, "update films set title = title || '!' where id < 9")
    change(writer_settings, "delete from films where id = 1")
    staged = [cycle(log_settings, films) for _ in range(5)]
    assert staged == [(7, 1), (7, 1), (7, 1), (0, 1), (0, 0)]
    check_films(log_settings, writer_settings, films)


def test_changes_arrive_after_a_restart_of_the_server(
    log_settings: Settings, writer_settings: Settings, films: Stream, sandbox: Sandbox
) -> None:
    cycle(log_settings, films)
    change(writer_settings, "delete from films where id = 1")
    sandbox.postgres.stop()
    sandbox.postgres.start()
    change(writer_settings, "update films set title = 'x' where id = 2")
    assert cycle(log_settings, films) == (1, 1)
    check_films(log_settings, writer_settings, films)


def test_partitions(log_settings: Settings, writer_settings: Settings) -> None:
    create = CREATE.replace("primary key (id, lang))", "primary key (id, lang)) partition by list (lang)")
    change(writer_settings, create, "create table en partition of films for values in ('en')")  # type: ignore[arg-type]
    change(writer_settings, "create table de partition of films for values in ('de')", FILMS, PUBLISH)
    films = log_of("films", ("id", "lang"))
    cycle(log_settings, films)
    statements: list[LiteralString] = [
        "update films set lang = 'de' where id < 5; delete from films where id = 20",
        "create table fr partition of films for values in ('fr'); insert into films values (1, 'fr', 'Un', 1)",
        "create table es (like films including all); insert into es values (7, 'es', 'Siete', 7);"
        " alter table films attach partition es for values in ('es'); delete from films where id = 8",
        "truncate de; insert into films values (2, 'de', 'Zwei', 2)",
        "alter table films detach partition es",
        "truncate films; insert into films values (3, 'de', 'Drei', 3)",
    ]
    for statement in statements:
        change(writer_settings, statement)
        cycle(log_settings, films)
        check_films(log_settings, writer_settings, films)
        # After the table was read whole, what was committed just before it is read again.
        cycle(log_settings, films)
        check_films(log_settings, writer_settings, films)


DROP: LiteralString = "select pg_drop_replication_slot(slot_name) from pg_replication_slots"


def test_a_slot_that_was_dropped_is_made_again_and_the_table_is_read_whole_once(
    log_settings: Settings, writer_settings: Settings, films: Stream, sandbox: Sandbox
) -> None:
    with open_pipeline(log_settings, (films,)) as pipeline:
        run_cycle(pipeline)
        with superuser(sandbox, log_settings) as server:
            server.execute(f"{DROP} where database = current_database()")
        change(writer_settings, "delete from films where id < 3", "update films set title = 'x' where id = 3")
        assert staged_of(run_cycle(pipeline)) == (18, 0)
        assert mode(log_settings).startswith("log, the slot adventure_")
        check_films(log_settings, writer_settings, films)
        change(writer_settings, "delete from films where id = 4")
        assert staged_of(run_cycle(pipeline)) == (0, 1)
    assert mode(log_settings) == "log"
    check_films(log_settings, writer_settings, films)


def test_a_slot_whose_log_the_server_has_removed_is_replaced(
    log_settings: Settings, writer_settings: Settings, films: Stream, sandbox: Sandbox
) -> None:
    """max_slot_wal_keep_size keeps the server's disk from filling; what was deleted meanwhile is found by the load."""
    cycle(log_settings, films)
    check_films(log_settings, writer_settings, films)
    change(writer_settings, "delete from films where id < 3", "update films set title = 'x' where id = 3")
    with superuser(sandbox, log_settings) as server:
        try:
            server.execute("alter system set max_slot_wal_keep_size = '1MB'")
            server.execute("select pg_reload_conf()")
            for _ in range(3):
                server.execute("select pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()")
            wait_for(lambda: bool(server.execute("checkpoint")) and "lost" in statuses(writer_settings))
        finally:
            server.execute("alter system reset max_slot_wal_keep_size")
            server.execute("select pg_reload_conf()")
    assert cycle(log_settings, films) == (18, 0)
    assert mode(log_settings).startswith("log, the slot adventure_")
    check_films(log_settings, writer_settings, films)
    assert "lost" not in statuses(writer_settings)
    change(writer_settings, "delete from films where id = 4")
    assert cycle(log_settings, films) == (0, 1)
    check_films(log_settings, writer_settings, films)


def statuses(settings: Settings) -> list[str]:
    """Return whether the log of the database's slots is kept."""
    query = "select wal_status from pg_replication_slots where database = current_database()"
    with writer(settings) as connection:
        return [status for (status,) in connection.execute(query).fetchall()]


def test_a_publication_that_was_made_again_loses_nothing(
    log_settings: Settings, writer_settings: Settings, films: Stream
) -> None:
    with open_pipeline(log_settings, (films,)) as pipeline:
        run_cycle(pipeline)
        change(writer_settings, "drop publication adventure", "delete from films where id < 3")
        failure = run_cycle(pipeline).failures["films"]
        assert "there is no publication adventure" in failure.problem
        assert 'create publication "adventure" for table "public"."films"' in failure.remedy
        change(writer_settings, PUBLISH, "delete from films where id = 4")
        for _ in range(3):
            run_cycle(pipeline)
        check_films(log_settings, writer_settings, films)
        change(writer_settings, "delete from films where id = 5")
        assert staged_of(run_cycle(pipeline)) == (0, 1)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("alter table films replica identity nothing", "the replica identity of public.films is nothing"),
        ("alter publication adventure set (publish = 'insert')", "leaves out inserts, updates, deletes or truncates"),
        ("alter publication adventure set table films where (id > 3)", "has a condition on its rows"),
        ("alter publication adventure drop table films", "it is not in the publication adventure"),
    ],
)
def test_a_table_that_the_log_does_not_have_is_refused(
    log_settings: Settings, writer_settings: Settings, films: Stream, statement: LiteralString, problem: str
) -> None:
    change(writer_settings, statement)
    with pytest.raises(SourceError, match=problem):
        process_once(log_settings, (films,))


def test_the_probe_tells_how_much_log_is_kept(log_settings: Settings, writer_settings: Settings, films: Stream) -> None:
    with open_probe("postgres", log_settings) as probe:
        assert probe.kept_log() is None
    cycle(log_settings, films)
    change(writer_settings, "insert into films select n, 'de', repeat('x', 1000) from generate_series(1, 1000) as n")
    with open_probe("postgres", log_settings) as probe:
        kept = probe.kept_log()
    assert kept
    assert (kept.slot, kept.safe_bytes) == (*slots(writer_settings), None)
    assert kept.bytes > 1_000_000


def test_the_task_server_serves_how_much_log_is_kept(
    sandbox: Sandbox, log_settings: Settings, writer_settings: Settings, films: Stream
) -> None:
    registry = CollectorRegistry()
    metrics = TaskMetrics(registry)

    def served() -> list[float | None]:
        check_health(log_settings, (films,), [], [metrics.set_kept_logs])
        names = ("adventure_kept_log_bytes", "adventure_kept_log_safe_bytes")
        return [registry.get_sample_value(name, {"source": "postgres"}) for name in names]

    assert served() == [None, None], "there is no slot yet"
    cycle(log_settings, films)
    change(writer_settings, "insert into films select n, 'de', repeat('x', 1000) from generate_series(1, 1000) as n")
    with superuser(sandbox, log_settings) as connection:

        def left() -> int:
            found = connection.execute("select max(safe_wal_size) from pg_replication_slots").fetchone()
            return int(found[0]) if found else 0

        kept, safe = served()
        assert kept
        assert (kept > 1_000_000, safe) == (True, None)
        connection.execute("alter system set max_slot_wal_keep_size = '1GB'")
        try:
            connection.execute("select pg_reload_conf()")
            wait_for(lambda: served()[1] is not None)
            before, (_, safe), after = left(), served(), left()
            assert safe is not None
            assert after <= safe <= before, "each write leaves less"
        finally:
            connection.execute("alter system reset max_slot_wal_keep_size")
            connection.execute("select pg_reload_conf()")
    with superuser(sandbox, log_settings) as connection:
        connection.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots")
    assert served() == [None, None], "the slot was dropped"


def test_doctor_names_the_publication_to_create(settings: Settings, log_settings: Settings, films: Stream) -> None:
    def found(of: Settings) -> list[tuple[str, str]]:
        with open_probe("postgres", of) as probe:
            return [(each.found, each.fix) for each in probe.examine([films]) if each.part == "films"]

    assert found(log_settings) == [("public.films is read by the log, by the key id, lang", "")]
    other = log_settings.model_copy(update={"postgres_publication": "sales"})
    ((problem, fix),) = found(other)
    assert problem.endswith("cannot be read by the log: there is no publication sales")
    assert fix == (
        'Run as their owner: create publication "sales" for table "public"."films" with (publish_via_partition_root ='
        " true)"
    )


def test_the_role_needs_replication(settings: Settings, films: Stream) -> None:
    with pytest.raises(SourceError, match="the role adventure_reader lacks REPLICATION"):
        process_once(settings, (films,))


def test_a_table_without_a_primary_key(log_settings: Settings, writer_settings: Settings) -> None:
    """REPLICA IDENTITY FULL. A key that is NULL is rejected."""
    change(writer_settings, CREATE.replace(", primary key (id, lang)", ""), FILMS, PUBLISH)  # type: ignore[arg-type]
    change(writer_settings, "alter table films replica identity full")
    films = log_of("films", ("id", "lang"))
    cycle(log_settings, films)
    change(writer_settings, "update films set id = 100 where id = 1", "delete from films where id = 2")
    assert cycle(log_settings, films) == (1, 2)
    check_films(log_settings, writer_settings, films)
    change(writer_settings, "update films set lang = null where id = 3")
    report = process_once(log_settings, (films,))
    assert report.streams[0].rows_rejected == 1
    assert staged_of(report) == (0, 1)


# An index holds its own order of the columns, and columns that are not of the key.
BY_INDEX: tuple[LiteralString, ...] = (
    "create unique index films_key on films (lang, id) include (rate)",
    "alter table films alter id set not null, alter lang set not null, replica identity using index films_key",
)


def test_a_unique_index_identifies_rows(log_settings: Settings, writer_settings: Settings) -> None:
    """REPLICA IDENTITY USING INDEX: the log has the old key of a row that was deleted or whose key changed."""
    change(writer_settings, CREATE.replace(", primary key (id, lang)", ""), *BY_INDEX, FILMS, PUBLISH)  # type: ignore[arg-type]
    films = log_of("films", ("id", "lang"))
    assert cycle(log_settings, films) == (20, 0)
    changes: list[tuple[LiteralString, int, int]] = [
        ("insert into films values (21, 'en', 'New', 1)", 1, 0),
        ("update films set title = 'Changed' where id = 2", 1, 0),
        ("update films set id = 100 where id = 3", 1, 1),
        ("update films set lang = 'de' where id = 4", 1, 1),
        ("delete from films where id > 18 and id < 100", 0, 3),
        ("delete from films where id = 5; update films set id = 5 where id = 6", 1, 1),
        ("update films set rate = 0 where id = 7", 1, 0),
    ]
    for statement, changed, deleted in changes:
        change(writer_settings, statement)
        assert cycle(log_settings, films) == (changed, deleted), statement
        check_films(log_settings, writer_settings, films)
    assert mode(log_settings) == "log"
    change(writer_settings, "drop index films_key")
    with pytest.raises(SourceError, match=r"identity of public\.films is nothing, and its key id, lang"):
        process_once(log_settings, (films,))


def test_a_stream_changes_between_snapshot_and_log(
    log_settings: Settings, writer_settings: Settings, films: Stream
) -> None:
    for number, kind in enumerate(("snapshot", "log", "snapshot", "snapshot", "log"), 1):
        stream = replace(films, mode=kind)
        cycle(log_settings, stream)
        check_films(log_settings, writer_settings, stream)
        assert cycle(log_settings, stream) == (0, 0)
        change(writer_settings, f"delete from films where id = {number}")  # type: ignore[arg-type]
        change(writer_settings, f"update films set title = 'x{number}' where id = 10")  # type: ignore[arg-type]
    cycle(log_settings, films)
    check_films(log_settings, writer_settings, films)


def test_a_slot_that_no_stream_uses_is_dropped(
    log_settings: Settings, writer_settings: Settings, films: Stream
) -> None:
    cycle(log_settings, films)
    assert len(slots(writer_settings)) == 1
    cycle(log_settings, replace(films, mode="snapshot"))
    assert slots(writer_settings) == {}


def test_a_removed_stream_drops_its_slot_unless_another_stream_needs_it(
    log_settings: Settings, writer_settings: Settings, films: Stream
) -> None:
    change(writer_settings, "create table plays (id integer primary key)", "insert into plays values (1), (2)")
    change(writer_settings, "alter publication adventure add table plays")
    plays = log_of("plays", ("id",))
    process_once(log_settings, (films, plays))
    (name,) = slots(writer_settings)
    assert not any("slot" in said for said in remove_stream(log_settings, plays))
    assert f"films: dropped the replication slot {name}" in list(remove_stream(log_settings, films))
    assert (slots(writer_settings), read_watermarks(log_settings)) == ({}, {})


def test_two_processors_do_not_share_a_slot(log_settings: Settings, writer_settings: Settings, films: Stream) -> None:
    change(writer_settings, "create table plays (id integer primary key)")
    with open_pipeline(log_settings, (films,)) as pipeline:
        run_cycle(pipeline)
        with pytest.raises(SourceError, match="Another processor of this pipeline reads the log"):
            process_once(log_settings, (log_of("plays", ("id",)),))


def test_the_slot_keeps_what_a_stream_has_not_staged(
    log_settings: Settings, writer_settings: Settings, films: Stream
) -> None:
    """One stream of two is not run for a while, and its changes wait in the log."""
    change(writer_settings, "create table plays (id integer primary key)", "insert into plays values (1), (2)")
    change(writer_settings, "alter publication adventure add table plays")
    plays = log_of("plays", ("id",))
    process_once(log_settings, (films, plays))
    change(writer_settings, "delete from plays where id = 1", "delete from films where id = 1")
    assert cycle(log_settings, films) == (0, 1)
    change(writer_settings, "delete from films where id = 2")
    assert cycle(log_settings, films) == (0, 1)
    assert cycle(log_settings, plays) == (0, 1)


def test_the_log_of_other_tables_is_passed(
    log_settings: Settings, writer_settings: Settings, films: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that is not read grows, and the slot does not keep its log."""
    monkeypatch.setattr(log_cycle, "_ADVANCE_BYTES", 1000)
    with open_pipeline(log_settings, (films,)) as pipeline:
        run_cycle(pipeline)
        (before,) = slots(writer_settings).values()
        change(writer_settings, "create table noise as select generate_series(1, 1000) as n")
        for _ in range(2):
            assert staged_of(run_cycle(pipeline)) == (0, 0)
        (after,) = slots(writer_settings).values()
    assert after > before + 50_000
