"""The end of a process whose command has only read.

Python would first wait for the threads of MongoDB's driver, each of which sleeps half a second between two looks at its
server (`MIN_HEARTBEAT_INTERVAL`), and then free every object. The system frees them at once.
"""

import os
import sys

_at_once = False


def end_at_once() -> None:
    """Let the process end without Python's own end. For a command that leaves nothing to write or release."""
    global _at_once
    _at_once = True


def end(code: int) -> None:
    """End the process here, if its command has asked for it. Else the caller ends it as usual."""
    if not _at_once:
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # The disk is full, or the reader of a pipe has closed it. Python's own end would fail, too.
        code = code or 1
    os._exit(code)
