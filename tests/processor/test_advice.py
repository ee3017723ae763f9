"""The log's advice about a table is right, and is also logged when nothing new was read."""

import pytest

from adventure.core.settings import Settings
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_once
from tests.processor.conftest import stream_of, writer

THINGS = stream_of("things")


def run(settings: Settings, statements: str) -> None:
    with writer(settings) as connection:
        connection.execute(statements)  # type: ignore[arg-type]


def test_a_view_gets_no_advice_to_create_an_index(
    settings: Settings, writer_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run(writer_settings, "create table base (id int primary key, at timestamptz default now())")
    run(writer_settings, "create view things as select id, at as changed_at from base")
    process_once(settings, [THINGS])
    said = capsys.readouterr().out
    assert "create index" not in said
    assert "view" in said
    assert "public.base" in said


def test_a_view_over_an_index_needs_no_advice(
    settings: Settings, writer_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run(writer_settings, "create table base (id int primary key, changed_at timestamptz default now())")
    run(writer_settings, "create index on base (changed_at); create view things as select * from base")
    process_once(settings, [THINGS])
    assert "index" not in capsys.readouterr().out


@pytest.mark.parametrize("indexed", [True, False])
def test_rows_without_a_cursor_are_counted_with_and_without_an_index(
    settings: Settings, writer_settings: Settings, capsys: pytest.CaptureFixture[str], indexed: bool
) -> None:
    run(writer_settings, "create table things (id int primary key, changed_at timestamptz default now())")
    if indexed:
        run(writer_settings, "create index on things (changed_at)")
    run(writer_settings, "insert into things values (1)")
    process_once(settings, [THINGS])
    assert "have no cursor" not in capsys.readouterr().out
    run(writer_settings, "insert into things values (2, null), (3, 'infinity'), (4, null)")
    process_once(settings, [THINGS])
    assert "3 rows have no cursor" in capsys.readouterr().out


@pytest.mark.parametrize("indexed", [True, False])
def test_rows_dated_in_the_future_are_logged_without_a_window(
    settings: Settings, writer_settings: Settings, capsys: pytest.CaptureFixture[str], indexed: bool
) -> None:
    run(writer_settings, "create table things (id int primary key, changed_at timestamptz default now())")
    if indexed:
        run(writer_settings, "create index on things (changed_at)")
    run(writer_settings, "insert into things values (1, now() + interval '1 day'), (2, now() + interval '1 day')")
    with open_pipeline(settings, [THINGS]) as pipeline:
        for _ in range(3):
            (report,) = run_cycle(pipeline).streams
            assert report.window is None
    said = capsys.readouterr().out
    assert said.count("rows dated in the future: 2,") == 1
