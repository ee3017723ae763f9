"""Keep installed packages out of a process that has no use for them, because another package imports them.

pyarrow imports numpy, and pandas with its first scalar, where they are installed, as they are beside the dashboard:
0.3 s and 50 MB. structlog imports rich, which takes 0.1 s. The processor's image has neither numpy nor pandas.
pyarrow.parquet imports the file systems of all clouds, and does without those that its build lacks.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = ("numpy", "pandas", "pyarrow._azurefs", "pyarrow._gcsfs", "pyarrow._hdfs", "pyarrow._s3fs")
"""What the processor has no use for."""


class _Without:
    """Finds none of the packages, and leaves all other modules to Python's own finders."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """See `importlib.abc.MetaPathFinder`."""
        if name in self._names:
            raise ModuleNotFoundError(f"No module named {name!r} in this process", name=name)


def leave_out(*names: str) -> None:
    """Let imports of these packages fail in this process from now on, as where they are not installed."""
    sys.meta_path.insert(0, _Without(names))


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Let imports of these packages fail within the block."""
    finder = _Without(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
