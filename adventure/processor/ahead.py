"""Fetching what comes next while what has come is worked on. This room must not know what is fetched."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each while another thread fetches the one that follows it.

    One item is held in advance, never more. Only one thread at a time asks `items`, whose errors are raised here.
    """
    with ThreadPoolExecutor(1, "ahead") as fetching:
        nothing = object()
        coming = fetching.submit(next, items, nothing)
        while (item := coming.result()) is not nothing:
            coming = fetching.submit(next, items, nothing)
            yield item  # type: ignore[misc]
