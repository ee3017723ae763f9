"""Find the files of the project that come with the package: the dbt project, pipeline.toml, Snowflake's scripts.

The wheel carries a copy of them in `adventure/packaged`; in a clone they are at its root. A folder's own file comes
first, so that a project overrides what is packaged.
"""

from pathlib import Path

DEFAULTS = frozenset({"dbt", "snowflake", "pipeline.toml"})
"""Names that the settings have by default, and the package brings."""

_PACKAGE = Path(__file__).parent.parent
FOLDER = next(folder for folder in (_PACKAGE / "packaged", _PACKAGE.parent) if folder.is_dir())
"""Nothing is ever written here: it may be in a read-only install."""


def own_or_packaged(path: Path) -> Path:
    """Return `path`, or the packaged file of that name if `path` is a default that the working folder lacks."""
    if str(path) not in DEFAULTS or path.exists():
        return path
    packaged = FOLDER / path
    return packaged if packaged.exists() else path


def is_packaged(path: Path) -> bool:
    """Return whether `own_or_packaged` found the path in the package, and not in the working folder."""
    return path.is_absolute() and path.parent == FOLDER
