"""The process of `adventure`, and of `python -m adventure` where the script is not on the path."""

from adventure.cli import main
from adventure.cli.ending import end


def run() -> None:
    """Run a command, and end the process."""
    try:
        main()
    except SystemExit as ended:
        end(ended)
        raise


if __name__ == "__main__":
    run()
