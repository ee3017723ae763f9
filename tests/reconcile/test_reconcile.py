"""For any state of source and warehouse, reconcile finds exactly the differences, and a repair and a load fix them.

Runs on both warehouses. Snowflake is the emulator, used through the real connector.
"""

import os
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from adventure.core import spans
from adventure.core.settings import Settings
from adventure.destinations.snowflake import account_tasks
from adventure.processor.run import process_once
from tests.reconcile.worlds import CHATS, HOSTILE, IDS, Change, Documents, Table, make_hostile_table

T0 = datetime(2026, 1, 2, 3, 4, 5)
MARK = T0 + timedelta(days=1)
"""The cursor of a row that never changes, so that all other rows are below the watermark."""

KEYS = ["a", "", "1:b", "x,y", "ü'\"%"]
NUMBERS = ["1", "2.50", "-10"]
# Few timestamps, including the first and last microsecond of pieces.
MOMENTS = [T0 + timedelta(microseconds=n) for n in (0, 1, 2, 1000, 999_999, 1_000_000)] + [
    T0 + timedelta(hours=n) for n in range(1, 4)
]


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FIRST_PIECES", 8), ("PIECES", 3), ("FEW", 2)):
        monkeypatch.setattr(spans, name, value)


@st.composite
def changes(draw: st.DrawFn, parts: list[list[str]], cursors: list[datetime]) -> list[Change]:
    moments = st.sampled_from(cursors)
    keys = draw(st.lists(st.tuples(*map(st.sampled_from, parts)), max_size=8, unique=True))
    made = []
    for key in keys:
        before, now = draw(st.none() | moments), draw(st.none() | moments | st.just("same"))
        now = before if isinstance(now, str) else now
        held = draw(st.sampled_from(["kept", "kept", "lost", "doubled", "older"]))
        made.append(Change(key, before, now, held, nulled=bool(now) and draw(st.sampled_from([False] * 4 + [True]))))
    return made


@pytest.fixture
def pipeline(request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a pipeline into the warehouse that the test asks for."""
    if request.param == "duckdb":
        return settings
    from tests.snowflake import account

    monkeypatch.setattr(account_tasks, "POLL_SEC", account.POLL_SEC)
    made = account.with_sources(request.getfixturevalue("snowflake_settings"), settings)
    account.begin(made)
    account.create_tables(made, HOSTILE, replace(CHATS, namespace=settings.mongo_db))
    return made


@pytest.fixture
def table(pipeline: Settings, writer_settings: Settings) -> Table:
    make_hostile_table(writer_settings)
    return Table(pipeline, writer_settings, HOSTILE)


@pytest.fixture
def documents(pipeline: Settings, writer_settings: Settings) -> Documents:
    return Documents(pipeline, writer_settings, replace(CHATS, namespace=pipeline.mongo_db))


def check(world: Any, made: list[Change], mark_key: tuple[str, ...]) -> None:
    """Load the old state, apply the changes, and compare reconcile's result with the changes."""
    world.clear()
    world.put(mark_key, MARK)
    for change in made:
        if change.before:
            world.put(change.key, change.before)
    process_once(world.settings, [world.stream])
    world.load()
    for change in made:
        if change.before:
            world.damage(change)
        if change.now is None:
            world.delete(change.key)
        else:
            world.put(change.key, None if change.nulled else change.now, "now")
    expected: dict[str, int] = {}
    for change in made:
        if change.verdict:
            expected[change.verdict] = expected.get(change.verdict, 0) + 1

    report = world.run()
    assert {verdict: found.rows for verdict, found in report.result.verdicts.items()} == expected
    assert report.is_clean == (not expected)

    repaired = world.run(repair=True)
    world.load()
    left = {verdict: rows for verdict, rows in expected.items() if verdict in ("behind", "unusable")}
    assert repaired.is_clean == (not left)
    after = world.run()
    assert {verdict: found.rows for verdict, found in after.result.verdicts.items()} == left
    # All rows are equal except those that a repair cannot fix: there the warehouse keeps its row.
    kept = {world.canonical(c.key) for c in made if c.verdict in ("behind", "unusable")}
    source, latest = world.source(), world.latest()
    cursors = {key: row[0] for key, row in source.items() if key not in kept}
    assert {key: row[0] for key, row in latest.items() if key not in kept} == cursors
    for change in made:
        key = world.canonical(change.key)
        if change.verdict in ("missing", "stale"):
            assert latest[key] == source[key]


def _examples(count: int) -> hypothesis_settings:
    """Return the settings for `count` examples. Each takes seconds: servers, processor and warehouse are real."""
    return hypothesis_settings(max_examples=int(os.environ.get("RECONCILE_EXAMPLES", count)))


OF_TABLES = changes([KEYS, NUMBERS], MOMENTS)
OF_COLLECTIONS = changes([[key for key in IDS if key != "mark"]], [m for m in MOMENTS if m.microsecond % 1000 == 0])
on_duckdb = pytest.mark.parametrize("pipeline", ["duckdb"], indirect=True)
on_snowflake = pytest.mark.parametrize("pipeline", ["snowflake"], indirect=True)


@pytest.mark.slow
@on_duckdb
@_examples(8)
@given(made=OF_TABLES)
def test_a_table_in_any_state(table: Table, made: list[Change]) -> None:
    check(table, made, ("mark", "0"))


@pytest.mark.slow
@on_duckdb
@_examples(8)
@given(made=OF_COLLECTIONS)
def test_a_collection_in_any_state(documents: Documents, made: list[Change]) -> None:
    check(documents, made, ("mark",))


@pytest.mark.slow
@on_snowflake
@_examples(3)
@given(made=OF_TABLES)
def test_a_table_in_any_state_and_snowflake(table: Table, made: list[Change]) -> None:
    check(table, made, ("mark", "0"))


@pytest.mark.slow
@on_snowflake
@_examples(3)
@given(made=OF_COLLECTIONS)
def test_a_collection_in_any_state_and_snowflake(documents: Documents, made: list[Change]) -> None:
    check(documents, made, ("mark",))
