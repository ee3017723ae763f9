"""Handle Ctrl-C and SIGTERM in commands. core/stopping.py handles them in long-lived jobs."""

import os
import threading
from types import FrameType

_IMPORTING = "<frozen importlib._bootstrap>"
"""The file of the frames in which Python imports a module."""

_AGAIN_SEC = 0.05


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, or send the signal again a moment later while a module is imported.

    A compiled module that is interrupted while it initialises prints a traceback or ends the process.
    """
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            again = threading.Timer(_AGAIN_SEC, os.kill, [os.getpid(), number])
            again.daemon = True
            again.start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt
