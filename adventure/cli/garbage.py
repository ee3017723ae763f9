"""When Python looks for unreachable cycles of objects.

Starting a command makes 80,000 objects, which live to its end.
"""

import gc

_SELDOM = 200_000
"""New objects between two searches: more than a short command makes."""

_USUAL = gc.get_threshold()


def collect_seldom() -> None:
    """Search as seldom as a short command can afford: 250 searches would take a twentieth of its time."""
    gc.set_threshold(_SELDOM, *_USUAL[1:])


def collect_as_usual() -> None:
    """Search as Python does by default: a long-lived command must not keep what it no longer uses."""
    gc.set_threshold(*_USUAL)
