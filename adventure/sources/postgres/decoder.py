"""Find the compiled decoder, which is a wheel of its own: adventure-pipeline-decoder.

It reads rows out of libpq without a call of Python for each. So it needs the libpq that psycopg opened the connection
with: psycopg's compiled module names it, and that of psycopg's wheel is in no place where the system would look.
"""

import ctypes
import sys
from functools import cache
from importlib.util import find_spec

from psycopg import pq


def is_installed() -> bool:
    """Return whether rows are decoded by the wheel's decoder; if not, ADBC decodes them."""
    # Without its compiled module, psycopg loads libpq by a name that the system looks up.
    return pq.__impl__ != "python" and find_spec("adventure_decoder") is not None


@cache
def libpq_functions() -> tuple[int, int]:
    """Return the addresses of PQgetCopyData and PQfreemem, in the libpq that psycopg uses."""
    libpq = ctypes.CDLL(sys.modules[pq.PGconn.__module__].__file__)
    return _address(libpq.PQgetCopyData), _address(libpq.PQfreemem)


def _address(function: object) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert address
    return address
