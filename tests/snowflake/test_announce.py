"""The refresh of a stage's directory wakes the load: once a cycle and stage, and never lost."""

import os
import re
import signal
import subprocess
import sys

import pytest

from adventure.core.errors import StageUnwritable
from adventure.core.settings import Settings
from adventure.core.streams import READ_AT, Stream
from adventure.demo.generator.run import backfill
from adventure.destinations.snowflake.session import connect_snowflake
from adventure.destinations.snowflake.stage import SnowflakeStage
from adventure.processor.run import process_once
from tests.processor.conftest import stream_of, writer
from tests.snowflake import account
from tests.snowflake.emulator import sent

pytestmark = pytest.mark.slow


@pytest.fixture
def sales(on_snowflake: Settings, writer_settings: Settings) -> Settings:
    """Sales at the sources, nothing staged yet."""
    account.create_tables(on_snowflake)
    backfill(writer_settings, orders=40, days=5, seed=11)
    return on_snowflake


def refreshed(settings: Settings, since: int = 0) -> list[str]:
    """Return the stages whose directory was refreshed, in this order."""
    found = [re.match(r'alter stage raw_ext\."(\w+)" refresh', text) for text in statements(settings)[since:]]
    return [match[1].lower() for match in found if match]


def statements(settings: Settings) -> list[str]:
    return sent[settings.snowflake_database.upper()]


def test_a_cycle_of_many_windows_takes_two_calls_a_window_and_one_refresh_for_all(
    on_snowflake: Settings, writer_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adventure.sources.postgres.appended.ROWS_A_WINDOW", 10)
    with writer(writer_settings) as connection:
        connection.execute("create table events (id bigint primary key, note text)")
        connection.execute("insert into events select id, 'x' from generate_series(1, 45) as id")
    events = stream_of("events", mode="append", cursor=READ_AT, append_by="id", stage="events_stage")
    account.create_tables(on_snowflake, events)
    begun = len(statements(on_snowflake))
    process_once(on_snowflake, (events,))
    windows = SnowflakeStage(on_snowflake).windows("events_stage")
    assert len(windows) == 5
    calls = [
        text.split()[0]
        for text in statements(on_snowflake)[begun:]
        if any(w.id in text for w in windows) or text.endswith(" refresh")
    ]
    assert calls[:11] == ["put"] * 10 + ["alter"]
    assert refreshed(on_snowflake, begun) == ["events_stage"]


def test_a_cycle_without_new_rows_refreshes_nothing_if_all_is_loaded(
    sales: Settings, streams: tuple[Stream, ...]
) -> None:
    process_once(sales, streams)
    for stream in streams:
        for window in SnowflakeStage(sales).windows(stream.stage):
            SnowflakeStage(sales).remove(window)
    begun = len(statements(sales))
    process_once(sales, streams)
    assert refreshed(sales, begun) == []


@pytest.mark.parametrize("point", ["window-staged", "watermark-moved"])
def test_a_window_whose_processor_was_killed_is_refreshed_by_the_next_one_without_new_rows(
    point: str, sales: Settings, streams: tuple[Stream, ...]
) -> None:
    orders = [stream for stream in streams if stream.name == "orders"]
    begun = len(statements(sales))
    killed = subprocess.run(
        [sys.executable, "-m", "adventure", "process"],
        env={**os.environ, **account.environment(sales), "ADVENTURE_CRASH_AT": f"{point}:orders"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    staged = SnowflakeStage(sales).windows("orders_stage")
    assert (len(staged), refreshed(sales, begun)) == (1, [])

    process_once(sales, orders)
    assert SnowflakeStage(sales).windows("orders_stage") == staged, "no new rows, no new window"
    assert refreshed(sales, begun) == ["orders_stage"]


def test_a_refresh_that_fails_is_reported_and_repeated(
    sales: Settings, streams: tuple[Stream, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [stream for stream in streams if stream.name == "orders"]

    def fail(self: SnowflakeStage, stage: str) -> None:
        raise StageUnwritable("The stage does not answer", "Wait")

    with monkeypatch.context() as patch:
        patch.setattr(SnowflakeStage, "_refresh", fail)
        with pytest.raises(StageUnwritable, match="does not answer"):
            process_once(sales, orders)
    begun = len(statements(sales))
    process_once(sales, orders)
    assert refreshed(sales, begun) == ["orders_stage"]


def test_windows_that_were_held_back_at_the_budget_are_announced_by_a_later_cycle_without_new_rows(
    sales: Settings, streams: tuple[Stream, ...]
) -> None:
    with connect_snowflake(sales) as connection:
        connection.cursor().execute("update account.resource_monitors set used_credits = 5")
    begun = len(statements(sales))
    process_once(sales.model_copy(update={"credit_budget": 5.0}), streams)
    assert refreshed(sales, begun) == []
    process_once(sales.model_copy(update={"credit_budget": 6.0}), streams)
    assert sorted(refreshed(sales, begun)) == sorted(stream.stage for stream in streams)
