"""The guide for the night, carried out: each problem is caused, its commands are run as written, and it has ended."""

import re

import psycopg
import pytest

from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.monitoring.health.problem import KINDS, Problem
from tests.runbook.causes import CASES
from tests.runbook.shop import SERVICES, Shop
from tests.test_remedies import HEADINGS
from tests.waiting import until

GUIDE = dict(HEADINGS)
ENDED_BY_A_SERVICE = {"processor_stopped", "processor_stuck", "tasks_overdue"}
REPORTED_FOR_A_DAY = {"rows_rejected"}
DIAGNOSES = {
    "adventure doctor",
    "adventure process --plan",
    "adventure rejects orders",
    "adventure status",
    "adventure tasks list",
}
"""They show what is wrong, by their exit code too: people run them before they do something."""


def commands(kind: str, problem: Problem) -> list[str]:
    """Return the guide's commands for this problem, with the values that its own sentence names."""
    found = re.findall(r"`(adventure [^`]+)`", GUIDE[kind])
    window = re.search(r"stage remove orders (\S+)`", problem.remedy)
    since = re.search(r"--from (\S+)`", problem.remedy)
    values = {"NAME": "orders", "WINDOW": window and window[1], "2026-01-31T12:00:00": since and since[1]}
    for placeholder, value in values.items():
        found = [command.replace(placeholder, value or placeholder) for command in found]
    return found


def test_every_problem_is_caused() -> None:
    assert set(CASES) == set(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_the_guides_commands_end_the_problem(shop: Shop, kind: str) -> None:
    with CASES[kind](shop):
        # A server that is busy may not answer the first look in time.
        problem = until(lambda: shop.problem(kind))
        assert problem
        steps = commands(kind, problem)
        for command in steps:
            if command in DIAGNOSES:
                shop.run(command, 0, 1)
    for command in steps:
        if command in SERVICES and kind in ENDED_BY_A_SERVICE:
            with shop.service(command):
                until(lambda: shop.problem(kind) is None)
        elif command not in DIAGNOSES:
            shop.run(command)
    assert kind in REPORTED_FOR_A_DAY | ENDED_BY_A_SERVICE or shop.problem(kind) is None, (shop.ran, shop.problems())
    shop.prepare("adventure process", "adventure load")
    with psycopg.connect(shop.server) as connection:
        expected = connection.execute("select id, amount from orders order by id").fetchall()
    found = DuckDBWarehouse(shop.settings()).execute("select id, amount from raw_ext.orders_latest order by id")
    assert found == expected
