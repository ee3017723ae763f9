"""Distribute the test files among the workers of pytest-xdist."""

from typing import Any

from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/dashboard/test_", "tests/snowflake/test_d")
"""Path prefixes. The files of each share an expensive fixture: the shop, or the pair of warehouses."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Run all tests of a file, or of the files in TOGETHER, in one worker, in the order of tests/tiers.py."""

    def __init__(self, config: Any, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return next((start for start in TOGETHER if path.startswith(start)), path)
