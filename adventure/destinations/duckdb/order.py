"""Builds models and runs tests in the order in which dbt does: each after all that it reads, and after their tests."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cache
from graphlib import TopologicalSorter
from typing import TypeVar

Result = TypeVar("Result")


def in_order(
    parents: Mapping[str, Sequence[str]], nodes: Collection[str], build: Callable[[str], Result], *, threads: int
) -> list[Result]:
    """Build the nodes, several at a time, and return what `build` returns for each.

    Args:
        parents: dbt's parent_map, of all nodes.

    Raises:
        Exception: the first that `build` raises. No other node begins then, and those that have begun end before.
    """
    waiting = TopologicalSorter(before(parents, nodes))
    waiting.prepare()
    results: list[Result] = []
    building: dict[Future[Result], str] = {}
    with ThreadPoolExecutor(threads, "build") as pool:
        try:
            while waiting.is_active():
                building |= {pool.submit(build, name): name for name in waiting.get_ready()}
                for ended in wait(building, return_when=FIRST_COMPLETED).done:
                    results.append(ended.result())
                    waiting.done(building.pop(ended))
        finally:
            pool.shutdown(cancel_futures=True)
    return results


def before(parents: Mapping[str, Sequence[str]], nodes: Collection[str]) -> dict[str, set[str]]:
    """Return the nodes that come before each node: its ancestors, and for a model the tests of its ancestors."""

    @cache
    def ancestors(name: str) -> frozenset[str]:
        direct = parents.get(name, ())
        return frozenset(direct).union(*(ancestors(each) for each in direct))

    chosen = frozenset(nodes)
    tests = [name for name in chosen if name.startswith("test.")]
    found = {name: set(ancestors(name) & chosen) for name in chosen}
    for name in chosen.difference(tests):
        found[name].update(test for test in tests if ancestors(test) <= ancestors(name))
    return found
