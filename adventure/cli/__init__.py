"""The commands: one thin function each, without logic. Each group of commands has its own module.

The functions import the packages that they need, so that `adventure --help` loads none of them.
"""

import os
import signal
import sys
from typing import Any

from adventure.cli.ending import ExitAtOnce
from adventure.cli.garbage import collect_seldom
from adventure.core.errors import AdventureError
from adventure.core.extras import naming_extra
from adventure.core.interrupts import interrupt
from adventure.core.private import only_owner


def main() -> None:
    """Run a command. An error is one sentence on stderr and exit code 1 (with --debug, a traceback)."""
    only_owner()
    collect_seldom()
    # Otherwise pydantic reads the metadata of every installed package in search of plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Linux ignores SIGTERM for a container's first process unless it has a handler.
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # A shell ignores it for jobs in the background.
        signal.signal(signal.SIGINT, interrupt)
    try:
        with naming_extra("This command"):
            _run(sys.argv[1:])
    except KeyboardInterrupt:
        _fail("Interrupted. Run the command again: it repeats what was half done.", 130)
    except AdventureError as error:
        _fail(str(error), 1, error)
    except PermissionError as error:
        _fail(
            f"This user may not use {error.filename or 'a file'}: {error.strerror}. Grant it the permission, or set"
            " DATA_DIR to another folder.",
            1,
            error,
        )
    except Exception as error:  # noqa: BLE001 - an unforeseen error is also reported in one sentence
        _fail(f"Unexpected {type(error).__name__}: {error}. Run the command again with --debug to see where.", 1, error)


def _run(arguments: list[str]) -> None:
    if arguments == ["process"]:
        # Schedulers and containers start this one. Importing Typer to read no options takes an eighth of its time.
        from adventure.cli.given import General
        from adventure.cli.processing import process

        process(General())
        return
    from adventure.cli.commands import app
    from adventure.cli.general import Interrupted

    try:
        # The name under which the shell completes it, also for `python -m adventure`.
        app(prog_name="adventure")
    except Interrupted as error:
        raise KeyboardInterrupt from error
    except SystemExit as ended:
        if not ended.code and not {"-h", "--help"}.isdisjoint(arguments):
            raise ExitAtOnce(0) from ended
        raise


def _fail(sentence: str, code: int, error: BaseException | None = None) -> None:
    if error is not None and "--debug" in sys.argv:
        raise error
    import typer

    from adventure.core.log import has_colour, log_fatal

    # Errors name a database as "the source database".
    sentence = f"The{sentence[3:]}" if sentence.startswith("the ") else sentence
    if not log_fatal(sentence):
        typer.secho(sentence, fg=typer.colors.RED if has_colour(sys.stderr) else None, err=True)
    raise SystemExit(code)


def __getattr__(name: str) -> Any:
    """Return the app, which imports Typer and every group of commands."""
    if name != "app":
        raise AttributeError(name)
    from adventure.cli.commands import app

    return app
