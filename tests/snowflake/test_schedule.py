"""A day of the account's schedules: everything is loaded and removed, a fault is tried again, the warehouse sleeps.

The bill in docs/snowflake.md is compared with what is counted here.
"""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import pytest

from adventure.destinations.snowflake.scripts import Trigger
from tests.snowflake.model import backlog as stages
from tests.snowflake.model.backlog import Backlog
from tests.snowflake.model.rights import Refused
from tests.snowflake.model.schedule import Schedule
from tests.snowflake.model.tasks import Tasks, procedure
from tests.snowflake.test_account_model import account_of_an_administrator, deploy, full

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "snowflake.md").read_text(encoding="utf-8")
SCHEMA = "ADVENTURE.RAW_EXT"
LOAD = f"{SCHEMA}.LOAD_ORDERS"
CLEANUP = f"{SCHEMA}.CLEANUP_ORDERS"
HOUR = 3600


def scheduled(
    *backlogs: Backlog,
    trigger: Trigger = "scheduled",
    without: str = "",
    edits: Mapping[str, str] = MappingProxyType({}),
) -> Schedule:
    """A scheduler of a deployed account.

    Args:
        without: a part of the statements that is left out.
        edits: parts of the procedure that are replaced.
    """
    rights = account_of_an_administrator()
    statements = full(trigger)
    assert any(without in text for text in statements)
    deploy(rights, filter(None, (text.replace(without, "") if without else text for text in statements)))
    return Schedule(Tasks(rights, backlogs, procedure(edits)))


def arrivals(schedule: Schedule, every: int, *backlogs: Backlog, apart: int = 0) -> Callable[[int], None]:
    """Stage a window on each stage at this interval, and refresh its directory, as the processor does.

    Args:
        apart: seconds between the stages.
    """

    def arrive(now: int) -> None:
        for place, backlog in enumerate(backlogs):
            if now % every == place * apart:
                stage_window(schedule, backlog)

    return arrive


def stage_window(schedule: Schedule, backlog: Backlog) -> str:
    window = backlog.add_window()
    schedule.tasks.refresh(f"{SCHEMA}.{backlog.stage}")
    return window


def states(schedule: Schedule, task: str) -> list[str]:
    return [run.state for run in schedule.runs if run.task == task]


def three_streams() -> list[Backlog]:
    return [Backlog(0, stream=stream) for stream in stages.STAGES]


def test_a_day_of_schedules_loads_and_removes_every_window() -> None:
    backlogs = three_streams()
    schedule = scheduled(*backlogs)
    schedule.run_until(24 * HOUR, arrivals(schedule, 300, *backlogs))
    schedule.run_until(24 * HOUR + 10)
    for backlog in backlogs:
        assert len(backlog.manifests) == 288
        assert sorted(backlog.ledger) == sorted((window, backlog.data, 1) for window in backlog.manifests)
        assert backlog.staged == {}
    for task in ("LOAD", "CLEANUP"):
        assert states(schedule, f"{SCHEMA}.{task}_CHAT_LOGS") == ["SUCCEEDED"] * 25


def test_only_the_windows_that_wait_when_a_load_begins_are_loaded_by_it() -> None:
    backlog = Backlog(0)
    schedule = scheduled(backlog)
    arrive = arrivals(schedule, 300, backlog)
    schedule.run_until(HOUR, arrive)
    assert len(backlog.ledger) == 1
    schedule.run_until(HOUR + 10, arrive)
    assert len(backlog.ledger) == 13


def test_a_schedule_without_new_files_is_skipped_and_keeps_the_warehouse_asleep() -> None:
    backlog = Backlog(0)
    schedule = scheduled(backlog)
    schedule.run_until(24 * HOUR)
    assert (states(schedule, LOAD), states(schedule, CLEANUP)) == (["SKIPPED"] * 24, [])
    assert (schedule.tasks.calls, schedule.awake_seconds("ADVENTURE_WH")) == (0, 0)


def test_a_window_that_cannot_be_loaded_is_not_consumed_and_is_tried_again_at_the_next_schedule() -> None:
    backlog = Backlog(0)
    schedule = scheduled(backlog)
    damaged, good = stage_window(schedule, backlog), stage_window(schedule, backlog)
    manifest = backlog.manifests[damaged]
    backlog.manifests[damaged] = "{"
    schedule.run_until(2 * HOUR)
    assert states(schedule, LOAD) == ["FAILED"] * 6, "at each full hour once, and retried twice"
    assert [row[0] for row in backlog.ledger] == [good]
    assert damaged in {window for window, _ in backlog.staged}, "nothing is removed that was not loaded"
    backlog.manifests[damaged] = manifest
    schedule.run_until(3 * HOUR)
    assert states(schedule, LOAD)[6:] == ["SUCCEEDED"], "no new file was needed"
    assert ([row[0] for row in backlog.ledger], backlog.staged) == ([good, damaged], {})


def test_a_load_that_fails_five_times_is_suspended_until_it_is_resumed() -> None:
    backlog = Backlog(0)
    schedule = scheduled(backlog)
    window = stage_window(schedule, backlog)
    manifest, backlog.manifests[window] = backlog.manifests[window], "{"
    schedule.run_until(24 * HOUR)
    assert states(schedule, LOAD) == ["FAILED"] * 15
    backlog.manifests[window] = manifest
    deploy(
        schedule.tasks.rights,
        ["use role accountadmin", "use database adventure", "alter task raw_ext.load_orders resume"],
    )
    schedule.run_until(25 * HOUR)
    assert states(schedule, LOAD)[15:] == ["SUCCEEDED"]


def test_a_graph_that_still_runs_is_not_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.snowflake.model.tasks.CALL_SEC", 180)
    backlog = Backlog(0)
    schedule = scheduled(backlog)
    schedule.run_until(5 * HOUR, arrivals(schedule, 300, backlog))
    runs = [run for run in schedule.runs if run.task in (LOAD, CLEANUP)]
    assert [run.begin for run in runs if run.task == LOAD] == [0, 2 * HOUR, 4 * HOUR]
    assert all(one.end <= other.begin for one, other in pairwise(runs))


def test_a_backlog_of_more_than_an_hour_is_loaded_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.snowflake.model.tasks.CALL_SEC", 60)
    backlog = Backlog(60)
    schedule = scheduled(backlog, edits={"COPY_FILES = 1000": "COPY_FILES = 1"})
    schedule.tasks.refresh(f"{SCHEMA}.ORDERS_STAGE")
    schedule.run_until(24 * HOUR)
    loads = [run for run in schedule.runs if run.task == LOAD and run.state != "SKIPPED"]
    assert {run.state for run in loads[:-1]} == {"CANCELLED"}
    assert loads[-1].state == "SUCCEEDED"
    assert max(run.end - run.begin for run in loads) <= HOUR + 60
    assert (len(backlog.ledger), backlog.staged) == (60, {})


def test_a_suspended_task_does_not_run_by_itself() -> None:
    backlog = Backlog(0)
    schedule = scheduled(backlog, without="alter task load_orders resume")
    stage_window(schedule, backlog)
    schedule.run_until(HOUR)
    assert states(schedule, LOAD) == []
    assert schedule.tasks.execute(LOAD) == "SUCCEEDED", "EXECUTE TASK runs it, and the tasks after it"
    assert backlog.staged == {}


def test_a_cleanup_that_is_not_resumed_never_runs() -> None:
    backlog = Backlog(0)
    schedule = scheduled(backlog, without="alter task cleanup_orders resume")
    stage_window(schedule, backlog)
    schedule.run_until(HOUR)
    assert (states(schedule, LOAD), states(schedule, CLEANUP)) == (["SUCCEEDED"], [])
    assert backlog.staged


def test_a_cleanup_cannot_be_executed_by_itself() -> None:
    with pytest.raises(Refused, match="CLEANUP_ORDERS is not a root task"):
        scheduled(Backlog(0)).tasks.execute(CLEANUP)


def test_a_load_is_resumed_after_the_cleanup_that_follows_it() -> None:
    statements = full()
    first, second = (statements.index(f"alter task {task}_orders resume") for task in ("cleanup", "load"))
    statements[first], statements[second] = statements[second], statements[first]
    with pytest.raises(Refused, match=r"CLEANUP_ORDERS cannot be changed, since .*LOAD_ORDERS is not suspended"):
        deploy(account_of_an_administrator(), statements)


def test_a_triggered_load_begins_with_a_new_file_and_no_sooner_than_its_interval() -> None:
    backlog = Backlog(0)
    schedule = scheduled(backlog, trigger="triggered")
    schedule.run_until(HOUR)
    assert schedule.runs == []
    schedule.run_until(2 * HOUR, arrivals(schedule, 10, backlog))
    begun = [run.begin for run in schedule.runs if run.task == LOAD]
    assert begun == [HOUR + 300 * number for number in range(12)]
    schedule.run_until(3 * HOUR)
    assert backlog.staged == {}


# --- the bill in docs/snowflake.md


def table(begin: str) -> list[list[str]]:
    """The rows of a table of the document that begins so."""
    lines = DOCS[DOCS.index(f"| {begin} |") :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def number(text: str) -> int:
    return int(re.sub(r"\D.*", "", text.replace(",", "")))


CALLS = table("windows of one stream that wait")
AWAKE = table("tasks")


@pytest.mark.parametrize("row", CALLS, ids=lambda row: row[0].partition(":")[0])
def test_the_document_has_the_calls_that_are_counted(row: list[str]) -> None:
    windows, load, cleanup, seconds = map(number, row)
    schedule = scheduled(Backlog(windows))
    schedule.tasks.refresh(f"{SCHEMA}.ORDERS_STAGE")
    schedule.run_until(10)
    assert [round((run.end - run.begin) / 0.3) for run in schedule.runs if run.task in (LOAD, CLEANUP)] == [
        load,
        cleanup,
    ]
    assert seconds == round(schedule.tasks.calls * 0.3)


@pytest.mark.parametrize("row", AWAKE, ids=lambda row: f"{row[0]}, {row[1]}")
def test_the_document_has_the_hours_that_the_warehouse_is_awake(row: list[str]) -> None:
    tasks, windows, *counted = row
    hours, every = 2, int(windows.split()[1])
    without = "    user_task_minimum_trigger_interval_in_seconds = 300\n" if "without" in tasks else ""
    backlogs = three_streams()
    schedule = scheduled(*backlogs, trigger="scheduled" if tasks == "scheduled" else "triggered", without=without)
    schedule.run_until(hours * HOUR, arrivals(schedule, every, *backlogs, apart=100 if "apart" in tasks else 0))
    begun = sum(run.task.startswith(f"{SCHEMA}.LOAD") and run.state == "SUCCEEDED" for run in schedule.runs)
    awake = schedule.awake_seconds("ADVENTURE_WH") / hours
    assert list(map(number, counted)) == [begun / hours, round(awake), round(awake / HOUR * 24 * 30)]


def test_the_document_has_the_cloud_services_of_a_day() -> None:
    backlogs = three_streams()
    schedule = scheduled(*backlogs)
    schedule.run_until(24 * HOUR, arrivals(schedule, 300, *backlogs))
    staging = sum(len(backlog.manifests) for backlog in backlogs) * 3
    loading = schedule.tasks.verbs["list"] + schedule.tasks.verbs["remove"]
    services, warehouse = (staging + loading) * 0.05 * 4.4 / HOUR, schedule.awake_seconds("ADVENTURE_WH") / HOUR
    for told in (
        f"= {staging:,} calls a day",
        f"add {loading} LIST and REMOVE",
        f"would be {services:.2f} credits a day",
        f"loads use {warehouse:.2f} credits",
        f"{(services - warehouse / 10) * 30:.1f} credits a month remain",
    ):
        assert told in " ".join(DOCS.split())
