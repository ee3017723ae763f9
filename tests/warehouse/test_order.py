"""The order in which models are built and tests run without dbt."""

import threading

import pytest

from adventure.destinations.duckdb.order import before, in_order

PARENTS = {
    "model.p.orders": ["source.p.raw.orders"],
    "model.p.view": ["model.p.orders"],
    "model.p.sales": ["model.p.view", "model.p.static"],
    "model.p.static": ["source.p.raw.products"],
    "model.p.chats": ["source.p.raw.chats"],
    "test.p.of_orders": ["model.p.orders"],
    "test.p.of_both": ["model.p.orders", "model.p.chats"],
    "test.p.of_sales": ["model.p.sales"],
}
BUILT = [name for name in PARENTS if name not in ("model.p.view", "model.p.static")]


def test_a_model_waits_for_what_it_reads_through_views_and_for_its_tests() -> None:
    assert before(PARENTS, BUILT) == {
        "model.p.orders": set(),
        "model.p.chats": set(),
        "model.p.sales": {"model.p.orders", "test.p.of_orders"},
        "test.p.of_orders": {"model.p.orders"},
        "test.p.of_both": {"model.p.orders", "model.p.chats"},
        "test.p.of_sales": {"model.p.sales", "model.p.orders"},
    }


def test_only_what_is_built_is_waited_for() -> None:
    assert before(PARENTS, ["model.p.sales"]) == {"model.p.sales": set()}


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_each_is_built_once_and_after_all_before_it(threads: int) -> None:
    done: list[str] = []
    results = in_order(PARENTS, BUILT, lambda name: done.append(name) or name, threads=threads)
    assert sorted(done) == sorted(results) == sorted(BUILT)
    assert all(
        done.index(earlier) < done.index(name) for name, all_ in before(PARENTS, BUILT).items() for earlier in all_
    )


def test_nothing_begins_after_an_error() -> None:
    begun: list[str] = []
    other_has_begun = threading.Event()

    def build(name: str) -> None:
        begun.append(name)
        if name == "model.p.chats":
            other_has_begun.set()
        elif name == "model.p.orders":
            other_has_begun.wait(10)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_order(PARENTS, BUILT, build, threads=2)
    assert sorted(begun) == ["model.p.chats", "model.p.orders"]
