"""`adventure status --check` fails while a watermark is above rows that are in neither stage nor warehouse."""

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.monitoring.gaps import Span, find_gaps
from adventure.monitoring.health.rules import find_problems
from adventure.monitoring.live import read_state
from adventure.processor.run import process_once
from adventure.reconcile.removal import remove_window
from tests.processor.conftest import things
from tests.processor.test_watermark_owner import insert, loaded, run_remedy

__all__ = ["things"]


def sentences(settings: Settings, stream: Stream) -> list[str]:
    problems = find_problems(read_state(settings, [stream], DuckDBWarehouse(settings)))
    return [f"{problem.sentence}. {problem.remedy}" for problem in problems]


def load_and_clean_up(settings: Settings, stream: Stream) -> list[int]:
    keys = loaded(settings, stream)
    DuckDBWarehouse(settings).cleanup(stream)
    return keys


@pytest.mark.parametrize("processor_went_on", [False, True])
@pytest.mark.parametrize("warehouse", ["an older copy", "none"])
def test_an_older_warehouse_is_reported(
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warehouse: str,
    processor_went_on: bool,
) -> None:
    insert(writer_settings, 1)
    process_once(settings, [things])
    load_and_clean_up(settings, things)
    shutil.copy(settings.duckdb_path, tmp_path / "older.duckdb")
    insert(writer_settings, 2)
    process_once(settings, [things])
    assert load_and_clean_up(settings, things) == [1, 2]
    assert sentences(settings, things) == []
    settings.duckdb_path.unlink()
    if warehouse == "an older copy":
        shutil.copy(tmp_path / "older.duckdb", settings.duckdb_path)
    if processor_went_on:
        insert(writer_settings, 3)
        process_once(settings, [things])
        load_and_clean_up(settings, things)
    (sentence,) = sentences(settings, things)
    assert "neither the stage nor the warehouse holds the rows" in sentence
    assert (" --from " in sentence) == (warehouse == "an older copy")
    run_remedy(monkeypatch, settings, [things], sentence[sentence.index("run `") :])
    process_once(settings, [things])
    assert load_and_clean_up(settings, things) == [1, 2, 3][: 3 if processor_went_on else 2]
    assert sentences(settings, things) == []


def test_windows_removed_before_their_load_are_reported(
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in (1, 2):
        insert(writer_settings, number)
        process_once(settings, [things])
    for window in FolderStage(settings.stage_dir).windows(things.stage):
        remove_window(settings, things, window.id, force=True)
    (sentence,) = sentences(settings, things)
    run_remedy(monkeypatch, settings, [things], sentence)
    process_once(settings, [things])
    assert loaded(settings, things) == [1, 2]


def test_a_window_without_a_span_is_not_lost(
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
) -> None:
    """A window that contains only rejected rows does not move the watermark."""
    insert(writer_settings, 1)
    process_once(settings, [things])
    loaded(settings, things)
    with psycopg.connect(settings.state_conninfo, autocommit=True) as connection:
        connection.execute("update adventure_watermarks set window_id = '20260101T000000000000Z-0badf00d'")
    (sentence,) = sentences(settings, things)
    assert "holds the window 20260101T000000000000Z-0badf00d" in sentence


def test_rows_in_the_stage_are_not_lost(
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
) -> None:
    for number in (1, 2, 3):
        insert(writer_settings, number)
        process_once(settings, [things])
        if number == 1:
            load_and_clean_up(settings, things)
    assert sentences(settings, things) == []


def day(number: int) -> datetime:
    return datetime(2026, 1, number)


@pytest.mark.parametrize(
    ("spans", "read_from", "gaps"),
    [
        ([(None, day(9))], None, []),
        ([(None, day(3)), (day(3), day(3)), (day(3), day(9))], None, []),
        ([(None, day(3)), (day(5), day(9))], None, [(day(3), day(5))]),
        ([(None, day(3)), (day(5), day(7))], None, [(day(3), day(5)), (day(7), day(9))]),
        ([(day(3), day(9))], None, [(None, day(3))]),
        ([], None, [(None, day(9))]),
        ([], day(9), []),
        ([(None, day(2)), (day(4), day(9))], day(4), []),
        ([(None, day(3)), (day(2), day(9)), (None, day(1))], None, []),
        ([(None, day(12))], None, []),
        ([(None, day(3)), (day(12), day(14))], None, [(day(3), day(9))]),
    ],
)
def test_gaps_between_spans_are_found(
    spans: Sequence[Span], read_from: datetime | None, gaps: list[tuple[datetime | None, datetime]]
) -> None:
    mark = Watermark("things", day(9), day(9), "horizon", day(9), read_from=read_from)
    assert [(gap.low, gap.high) for gap in find_gaps(mark, [], spans)] == gaps


@pytest.mark.parametrize(
    ("windows", "spans"),
    [
        ([(None, day(3)), (day(3), day(3)), (day(3), day(9))], [(None, day(9))]),
        ([(None, day(3)), (day(5), day(9)), (day(5), day(6))], [(None, day(3)), (day(5), day(9))]),
        ([(day(1), day(9)), (day(2), day(3)), (day(8), day(12))], [(day(1), day(12))]),
    ],
)
def test_adjacent_windows_of_the_ledger_form_one_span(
    settings: Settings, windows: Sequence[Span], spans: list[Span]
) -> None:
    warehouse = DuckDBWarehouse(settings)
    for number, (low, high) in enumerate(windows):
        warehouse.execute(
            "insert into raw_ext.load_history"
            " select 'things', 's', ?, 'f', 'data', 1, 1, '', ?, ?, now(), 'horizon', 'r', now(), now()",
            [f"w{number}", low, high],
        )
    assert sorted(warehouse.loaded_spans()["things"], key=lambda span: span[1]) == spans
