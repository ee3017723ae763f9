"""How the test files are shared out among the workers of pytest-xdist."""

from typing import Any

from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/dashboard/test_", "tests/snowflake/test_d")
"""Beginnings of paths. The files share a fixture that takes long to make: the shop, the pair of warehouses."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """One worker runs all tests of a file, or of the files in TOGETHER. The order is that of tests/tiers.py."""

    def __init__(self, config: Any, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return next((start for start in TOGETHER if path.startswith(start)), path)
