"""Test tables without cursor and mode: by the log where the server allows it, else whole, and between the two."""

from dataclasses import replace
from typing import LiteralString

import psycopg
import pytest

from adventure.core.errors import SourceError
from adventure.core.settings import Settings
from adventure.core.streams import AUTO, Stream
from adventure.demo.sandbox import Sandbox
from adventure.factory import open_probe, open_warehouse
from adventure.monitoring.checks.flow import flow_checks
from adventure.processor.preview import preview
from adventure.processor.run import process_once
from adventure.sources.postgres.log import reader as log_reader
from adventure.sources.postgres.log.slot import slot_prefix
from tests.processor.conftest import superuser
from tests.processor.test_log import BY_INDEX, CREATE, FILMS, PUBLISH, change, check_films, cycle, log_of, mode, slots

UNPUBLISH = "drop publication adventure"
CHANGES: tuple[LiteralString, ...] = (
    "insert into films values (21, 'en', 'New', 1)",
    "update films set title = 'Changed' where id = 2",
    "delete from films where id = 3",
)
NO_PUBLICATION = "snapshot: there is no publication adventure"


@pytest.fixture
def films(writer_settings: Settings) -> Stream:
    """Twenty films in a table without a cursor, of which the stream names the key only."""
    change(writer_settings, CREATE, FILMS)
    return replace(log_of("films", ("id", "lang")), mode=AUTO)


def planned(settings: Settings, stream: Stream) -> tuple[str, int | None]:
    ((found),) = preview(settings, [stream])
    assert not found.problem
    return found.mode, found.rows


def test_a_table_is_read_whole_until_the_log_can_be_read_and_by_the_log_from_then_on(
    log_settings: Settings, writer_settings: Settings, films: Stream
) -> None:
    assert planned(log_settings, films) == (NO_PUBLICATION, 20)
    assert cycle(log_settings, films) == (20, 0)
    assert mode(log_settings) == NO_PUBLICATION
    change(writer_settings, *CHANGES)
    assert cycle(log_settings, films) == (2, 1)
    assert slots(log_settings) == {}
    change(writer_settings, PUBLISH)
    assert planned(log_settings, films) == ("log", None)
    assert cycle(log_settings, films) == (20, 0), "the log begins with the whole table"
    change(writer_settings, "delete from films where id = 4", "update films set title = 'Again' where id = 5")
    assert cycle(log_settings, films) == (1, 1)
    assert mode(log_settings) == "log"
    check_films(log_settings, writer_settings, films)


def test_a_table_is_read_whole_again_when_the_log_cannot_be_read_any_more(
    log_settings: Settings, writer_settings: Settings, films: Stream
) -> None:
    change(writer_settings, PUBLISH)
    assert cycle(log_settings, films) == (20, 0)
    assert mode(log_settings).startswith("log")
    # These are in the log, which is not read, and one of them leaves no trace in the table.
    change(writer_settings, *CHANGES, UNPUBLISH)
    assert cycle(log_settings, films) == (20, 0), "a snapshot that marks what it does not have as deleted"
    assert mode(log_settings).startswith(NO_PUBLICATION)
    check_films(log_settings, writer_settings, films)
    assert cycle(log_settings, films) == (0, 0)
    assert slots(log_settings) == {}, "a slot that no stream reads would keep the log"
    change(writer_settings, "delete from films where id = 6", PUBLISH)
    assert cycle(log_settings, films) == (19, 0)
    change(writer_settings, "delete from films where id = 7")
    assert cycle(log_settings, films) == (0, 1)
    check_films(log_settings, writer_settings, films)


def test_a_table_without_a_primary_key_is_read_whole_until_the_log_names_its_rows(
    log_settings: Settings, writer_settings: Settings
) -> None:
    """The server logs no key of a deleted row by itself, although a unique index would identify it."""
    films = replace(log_of("films", ("id", "lang")), mode=AUTO)
    create = CREATE.replace(", primary key (id, lang)", ", unique (title, rate)")
    change(writer_settings, create, FILMS)  # type: ignore[arg-type]
    identify = "alter table films alter title set not null, alter rate set not null, replica identity using index"
    nothing = "snapshot: the replica identity of public.films is nothing, and its key id, lang"
    another = "snapshot: the replica identity of public.films is title, rate, and its key id, lang"
    steps: list[tuple[tuple[str, ...], str]] = [
        ((PUBLISH,), nothing),
        ((f"{identify} films_title_rate_key",), another),
        (BY_INDEX, "log"),
    ]
    for statements, expected in steps:
        change(writer_settings, *statements)  # type: ignore[arg-type]
        assert planned(log_settings, films)[0] == expected
        cycle(log_settings, films)
        check_films(log_settings, writer_settings, films)
    change(writer_settings, *CHANGES)
    assert cycle(log_settings, films) == (2, 1)
    assert mode(log_settings) == "log"
    check_films(log_settings, writer_settings, films)


def test_a_slot_that_cannot_be_created_does_not_keep_the_table_from_being_read(
    log_settings: Settings, writer_settings: Settings, films: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that was open before the slot keeps the server from creating it."""
    change(writer_settings, PUBLISH, "create table other ()")
    monkeypatch.setattr("adventure.sources.postgres.log.slot.CREATE_SEC", 0.2)
    with psycopg.connect(writer_settings.postgres_dsn) as open_one:
        open_one.execute("drop table other")
        assert cycle(log_settings, films) == (20, 0)
        assert mode(log_settings).startswith("snapshot: no replication slot can be created")
    monkeypatch.setattr(log_reader, "_AGAIN_SECONDS", 0.0)
    change(writer_settings, *CHANGES)
    assert cycle(log_settings, films) == (20, 0)
    assert mode(log_settings).startswith("log")
    check_films(log_settings, writer_settings, films)


def test_a_followed_table_waits_for_a_processor_that_still_holds_the_log(
    log_settings: Settings, writer_settings: Settings, films: Stream
) -> None:
    """As after a kill, until the server has ended the session. Reading the table whole would cost more."""
    change(writer_settings, PUBLISH)
    cycle(log_settings, films)
    change(writer_settings, *CHANGES)
    lock = "select pg_advisory_lock(hashtextextended(%s, 0))"
    with psycopg.connect(log_settings.postgres_dsn, autocommit=True) as held:
        held.execute(lock, [f"adventure:{slot_prefix(log_settings)}"])
        with pytest.raises(SourceError, match="Another processor"):
            process_once(log_settings, (films,))
        assert mode(log_settings).startswith("log")
    assert cycle(log_settings, films) == (2, 1)
    check_films(log_settings, writer_settings, films)


def test_doctor_and_check_say_how_the_table_is_read(
    sandbox: Sandbox, log_settings: Settings, writer_settings: Settings, films: Stream
) -> None:
    def found(settings: Settings) -> list[tuple[str, str, str]]:
        with open_probe("postgres", settings) as probe:
            return [(each.level, each.found, each.fix) for each in probe.examine([films]) if each.part == "films"]

    whole = ("ok", "public.films is compared whole, by the key id, lang", "")
    ((*_, fix),) = [each for each in found(log_settings) if each != whole]
    with superuser(sandbox, log_settings) as connection:
        connection.execute(fix.removeprefix("Run as their owner: ").encode())
    assert found(log_settings) == [("ok", "public.films is read by the log, by the key id, lang", "")]
    cycle(log_settings, films)
    warehouse = open_warehouse(log_settings)
    warehouse.load(films)
    assert all(check.holds for check in flow_checks(log_settings, warehouse, films) if "raw keys" in check.name)
