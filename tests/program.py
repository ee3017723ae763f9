"""Run the program in this process, as a shell would: a process of its own needs a second to start."""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from adventure import cli


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit code, and its output."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The last line of its errors."""
        return (self.err.strip().splitlines() or [""])[-1]


def run_program(arguments: Sequence[str], capfd: pytest.CaptureFixture[str], **environment: str) -> Ended:
    """Run `adventure` with these arguments and additional environment variables, and undo what it changes here."""
    handler, hook, mask = signal.getsignal(signal.SIGTERM), sys.excepthook, os.umask(0o022)
    capfd.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["adventure", *arguments])
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            cli.main()
            code: Any = 0
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException as error:  # noqa: BLE001 - as the interpreter does with an error that nothing catches
            sys.excepthook(type(error), error, error.__traceback__)
            code = 1
        finally:
            signal.signal(signal.SIGTERM, handler)
            sys.excepthook = hook
            os.umask(mask)
    out, err = capfd.readouterr()
    return Ended(code, out, err)
