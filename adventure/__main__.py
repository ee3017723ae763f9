"""The process of `adventure`, and of `python -m adventure` where the script is not on the path."""

import sys

from adventure.cli import main
from adventure.cli.ending import end
from adventure.core.pandas_free import leave_pandas_out


def run() -> None:
    """Run a command, and end the process."""
    if "process" in sys.argv[1:]:
        leave_pandas_out()
    try:
        main()
    except SystemExit as ended:
        end(ended)
        raise


if __name__ == "__main__":
    run()
