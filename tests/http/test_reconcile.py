"""`reconcile`, `check`, `status` and `doctor` of an HTTP API."""

from datetime import timedelta
from pathlib import Path

import pytest

from adventure.core.clock import utc_now
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.monitoring.checks.flow import flow_checks
from adventure.monitoring.doctor import examine
from adventure.monitoring.health.rules import find_problems
from adventure.monitoring.live import read_state
from adventure.reconcile.run import Report, reconcile
from tests.http.api import Api, answer
from tests.http.conftest import REVIEWS, Run, loaded, styled

HOUR_AGO = utc_now() - timedelta(hours=1)


def verdicts(report: Report) -> dict[str, int]:
    assert report.result, report.failure
    return {name: each.rows for name, each in report.result.verdicts.items()}


@pytest.mark.parametrize(("style", "rows"), [("next", False), ("number", True)])
def test_differences_are_found_and_repaired(
    api: Api, whole_settings: Settings, run: Run, style: str, rows: bool
) -> None:
    api.style, stream = style, styled(style)
    api.put_many(20, HOUR_AGO)
    run(stream)
    (report,) = reconcile(whole_settings, [stream], rows=rows)
    assert (verdicts(report), report.is_clean, report.result.rows) == ({}, True, 20)

    del api.records["r003"]
    api.put("late", HOUR_AGO - timedelta(hours=1), stars=1)
    api.put("r005", HOUR_AGO + timedelta(seconds=6, milliseconds=1), stars=2)
    api.records["r007"]["stars"] = 17
    run(stream)
    found = {"deleted": 1, "missing": 1}
    assert verdicts(reconcile(whole_settings, [stream])[0]) == found
    (report,) = reconcile(whole_settings, [stream], repair=True, rows=rows)
    run(stream)
    assert loaded(whole_settings).keys() == api.records.keys()
    assert loaded(whole_settings)["r007"]["stars"] == 17


def test_a_comparison_of_the_last_hours_reads_only_those(api: Api, whole_settings: Settings, run: Run) -> None:
    api.put_many(20, HOUR_AGO - timedelta(days=1))
    api.put_many(9, HOUR_AGO, first=20)
    run()
    api.requests.clear()
    (report,) = reconcile(whole_settings, [REVIEWS], recent=timedelta(hours=2))
    assert (report.is_clean, report.result.rows, len(api.requests)) == (True, 9, 3)


def test_a_rejected_record_is_no_difference(api: Api, whole_settings: Settings, run: Run) -> None:
    api.put_many(3, HOUR_AGO)
    api.put("r003", HOUR_AGO + timedelta(minutes=30))
    api.records["r001"]["meta"] = {"changed": "never"}
    api.records["r002"]["_adventure_key"] = {}
    run()
    (report,) = reconcile(whole_settings, [REVIEWS])
    assert (verdicts(report), report.is_clean) == ({"rejected": 2}, True)


@pytest.mark.parametrize("total", ["", "total"])
def test_check_counts_the_records(api: Api, whole_settings: Settings, run: Run, total: str) -> None:
    stream = styled("next", total=total)
    api.put_many(10, HOUR_AGO)
    run(stream)
    warehouse = DuckDBWarehouse(whole_settings)
    assert [check for check in flow_checks(whole_settings, warehouse, stream) if check.failed] == []
    api.put("late", HOUR_AGO - timedelta(hours=1))
    (check, *_) = flow_checks(whole_settings, warehouse, stream)
    assert (check.expected, check.actual, check.failed) == ("11", "10", True)


def test_status_shows_what_waits_and_an_api_that_fails(api: Api, whole_settings: Settings, run: Run) -> None:
    settings, warehouse = whole_settings.model_copy(update={"alert_lag_sec": 60.0}), DuckDBWarehouse(whole_settings)

    def problems() -> list[str]:
        return [each.sentence for each in find_problems(read_state(settings, [REVIEWS], warehouse))]

    api.put_many(10, HOUR_AGO)
    assert "rows wait at the source since" in problems()[0]
    run()
    assert problems() == []
    api.put("new", utc_now() - timedelta(minutes=5))
    assert "reviews: rows wait at the source since" in problems()[0]
    api.always = answer(b"{}", 500)
    assert any("answers 500" in each for each in problems())


def findings(settings: Settings, stream: Stream) -> list[tuple[str, str]]:
    found = [each for each in examine(settings, [stream], Path("absent.env")) if each.part == stream.name]
    assert all(each.fix for each in found if each.level != "ok")
    return [(each.level, each.found) for each in found]


def test_doctor_examines_an_endpoint(api: Api, whole_settings: Settings) -> None:
    api.put_many(2, HOUR_AGO)
    ((level, found),) = findings(whole_settings, REVIEWS)
    assert (level, found.partition(" answers ")[2]) == ("ok", "with 2 records in its first page")
    api.records["r000"]["meta"] = {}
    api.clock_step = timedelta(hours=1)
    sentences = [each for _, each in findings(whole_settings, styled("next", since=None))]
    assert sentences[0].startswith(
        "1 of 2 records of the first page would be rejected: its cursor meta.changed is missing"
    )
    assert sentences[1] == "every cycle reads all records"
    assert "the API's clock shows" in sentences[2]
    api.always = answer(b"{}", 404)
    assert findings(whole_settings, REVIEWS)[0][0] == "error"
