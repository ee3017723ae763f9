"""Test what `adventure process --plan` shows, and that it stages nothing."""

from collections.abc import Callable
from dataclasses import replace

from adventure.core.settings import Settings
from adventure.core.streams import READ_AT, Stream
from adventure.processor.preview import preview
from adventure.processor.run import process_once
from adventure.processor.state import read_watermarks
from tests.processor.conftest import Rows, writer


def test_it_counts_the_rows_that_the_next_cycle_stages(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Callable[[Stream], Rows]
) -> None:
    snapshot = replace(things, mode="snapshot", cursor=READ_AT)
    with writer(writer_settings) as connection:
        connection.execute("insert into things (id) select generate_series(1, 5)")
        first, whole = preview(settings, (things, snapshot))
        assert (first.mode, first.watermark, first.rows, whole.mode, whole.rows) == (
            "first window",
            None,
            5,
            "snapshot",
            5,
        )
        assert staged(things) == []
        assert not read_watermarks(settings)
        process_once(settings, (things,))
        connection.execute("insert into things (id) select generate_series(6, 8)")
    (second,) = preview(settings, (things,))
    assert (second.mode, second.rows) == ("horizon", 3)
    process_once(settings, (things,))
    assert len(staged(things)) == 8


def test_a_stream_that_cannot_be_read_has_a_problem(settings: Settings, things: Stream) -> None:
    found, other = preview(settings, (replace(things, table="absent"), things))
    assert "there is no table public.absent" in found.problem
    assert (found.rows, other.rows, other.problem) == (None, 0, "")
