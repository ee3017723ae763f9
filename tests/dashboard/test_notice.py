"""The Sales page tells a manager which figures are incomplete, without tables, paths and commands."""

from dataclasses import fields
from datetime import datetime
from typing import Any

import pytest

from adventure.dashboard.sales.notice import notice
from adventure.monitoring.health.problem import KINDS, Problem
from adventure.monitoring.health.state import StreamState

NOW = datetime(2026, 3, 5, 16, 0)


def stream(name: str, raw_table: str, watermark: datetime | None, **more: Any) -> StreamState:
    empty: dict[str, Any] = {field.name: None for field in fields(StreamState)}
    known = {"stream": name, "raw_table": f"raw_ext.{raw_table}", "watermark": watermark, "rejected_recently": 0}
    return StreamState(**empty | known | more)


STREAMS = (
    stream("orders", "orders_raw", datetime(2026, 3, 5, 15, 50)),
    stream("order_details", "order_details_raw", datetime(2026, 3, 5, 15, 41)),
    stream("chat_logs", "chat_logs_raw", datetime(2026, 3, 4, 9, 0)),
)


def problem(kind: Any, *streams: str, severity: Any = "error", cause: Problem | None = None) -> Problem:
    sentence = f"{kind}: /var/adventure/stages/x.parquet of raw_ext.orders_raw"
    return Problem(kind, severity, sentence, "Run `adventure tasks run`", streams, cause=cause)


FAILED_TEST = problem("test_failed")


@pytest.mark.parametrize(
    ("problems", "said"),
    [
        ([], ""),
        ([problem("read_by_lookback", "orders", severity="warning")], ""),
        ([problem("windows_waiting", "order_details")], "Product figures may miss sales since 15:41 UTC"),
        ([problem("source_unavailable", "chat_logs")], "Support figures may miss chats since 4 March 2026, 09:00 UTC"),
        (
            [problem("processor_failing", "orders", "order_details")],
            "Sales figures may miss orders since 15:50 UTC. Product figures may miss sales since 15:41 UTC",
        ),
        ([problem("tasks_overdue")], "All figures may miss sales since 4 March 2026, 09:00 UTC"),
        ([problem("window_damaged", "orders")], "Sales figures may miss some orders"),
        (
            [FAILED_TEST, problem("task_failed", cause=FAILED_TEST)],
            "A check of the data failed, so some figures may be old or wrong",
        ),
    ],
)
def test_the_figures_that_a_problem_concerns(problems: list[Problem], said: str) -> None:
    assert notice(problems, STREAMS, NOW, None) == (f"{said}. The data team sees this." if said else "")


def test_rejected_rows_are_no_part_of_the_figures() -> None:
    orders = stream("orders", "orders_raw", NOW, rejected_recently=1)
    said = notice([problem("rows_rejected", "orders", severity="warning")], (orders,), NOW, None)
    assert said.startswith("1 record of the last day is not in the figures")


@pytest.mark.parametrize("kind", KINDS)
def test_no_error_is_silent_and_none_shows_its_insides(kind: Any) -> None:
    said = notice([problem(kind, "orders")], STREAMS, NOW, None)
    assert said
    assert not [inside for inside in ("raw_ext", "/var", "_raw", "`", "adventure") if inside in said]


def test_a_stream_of_another_kind_concerns_some_figures() -> None:
    assert notice([problem("windows_waiting", "x")], (*STREAMS, stream("x", "x_raw", None)), NOW, NOW) == (
        "Some figures may miss sales since 16:00 UTC. The data team sees this."
    )
