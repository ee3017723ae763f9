"""Writes the checks of the sales as a Snowflake worksheet, snowflake/checks.sql (`make worksheet`).

What is asked and expected stands in adventure/monitoring/checks, for both warehouses.
"""

import sys
from pathlib import Path

from adventure.destinations.snowflake.kind import SALES_DIALECT
from adventure.monitoring.checks.sales import statement

_HEAD = """\
-- The checks of `adventure check` on what sales look like, for a worksheet: made by `make worksheet`, not by hand.
-- Run all of it, as a role that may read the raw tables and the models (ADVENTURE_TRANSFORMER).
use database ADVENTURE;

"""


def worksheet() -> str:
    """The whole file."""
    return _HEAD + statement(SALES_DIALECT).rstrip() + ";\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(worksheet(), encoding="utf-8")
