"""Pauses the search for garbage while many objects are made that stay.

Python frees most objects by counting references; only cycles need the search. It starts after a number of new objects,
and looks through all objects of the process when many of them have stayed. dbt makes hundreds of thousands: in a build
of a few rows the searches took a sixth of the CPU time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def searched_later() -> Iterator[None]:
    """Search for no garbage in the block. Its cycles are freed by the searches after it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
