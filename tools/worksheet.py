"""Write the sales checks as a Snowflake worksheet, snowflake/checks.sql (`make worksheet`).

adventure/monitoring/checks defines the queries and expected values for both warehouses.
"""

import sys
from pathlib import Path

from adventure.monitoring.checks.sales import statement

_HEAD = """\
-- The checks of `adventure check` on what sales look like, for a worksheet: made by `make worksheet`, not by hand.
-- Run all of it, as a role that may read the raw tables and the models (ADVENTURE_TRANSFORMER).
use database ADVENTURE;

"""


def worksheet() -> str:
    """Return the content of the worksheet."""
    return _HEAD + statement("snowflake").rstrip() + ";\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(worksheet(), encoding="utf-8")
