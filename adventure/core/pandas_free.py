"""Keep pandas out of a process that only reads sources and stages files.

pyarrow imports pandas with its first scalar where it is installed, as it is beside the dashboard: a quarter of a second
and 40 MB for a package that nothing in such a process uses. The processor's image does not have it.
"""

import sys


class _WithoutPandas:
    """Finds no pandas, and leaves all other modules to Python's own finders."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """See `importlib.abc.MetaPathFinder`."""
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas' in the processor", name=name)


def leave_pandas_out() -> None:
    """Let imports of pandas fail in this process from now on, as where it is not installed."""
    sys.meta_path.insert(0, _WithoutPandas())
