"""Write the checks of the sales as a Snowflake worksheet (`make worksheet`).

The statement and the expected figures are in adventure/monitoring/checks, for both warehouses.
"""

import sys
from pathlib import Path

from adventure.destinations.snowflake.kind import SALES_DIALECT
from adventure.monitoring.checks.sales import statement

_HEAD = """\
-- The sales checks of `adventure check`, written by `make worksheet`. Run the whole file with a role that may read the
-- raw tables and the models (ADVENTURE_TRANSFORMER).
use database ADVENTURE;

"""


def worksheet() -> str:
    """The whole file."""
    return _HEAD + statement(SALES_DIALECT).rstrip() + ";\n"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(worksheet(), encoding="utf-8")
