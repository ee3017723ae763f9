"""Parse the dbt project once per session: all other runs within the tests' processes reuse the result.

dbt stores the result in its target folder and reuses it unless the profile has changed. Each test has another path of
the warehouse, which is part of the profile although nothing that dbt parses depends on it.
"""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent


def parse_once(parsed: Path) -> None:
    """Make every later run of dbt in this process start with `parsed`; the first run writes it."""
    from dbt.artifacts.schemas.base import schema_version  # noqa: F401 - the order of dbt's imports
    from dbt.constants import PARTIAL_PARSE_FILE_NAME
    from dbt.contracts.files import FileHash  # type: ignore[attr-defined]
    from dbt.parser.manifest import ManifestLoader

    if getattr(ManifestLoader, "parses_once", False):
        return
    check, read, write = (
        ManifestLoader.build_manifest_state_check,
        ManifestLoader.read_manifest_for_partial_parse,
        ManifestLoader.write_manifest_for_partial_parse,
    )

    def own(loader: ManifestLoader) -> Path | None:
        """Return the file in which a run on the project's embedded target stores the result; None for other targets."""
        project = loader.root_project
        if Path(project.project_root).resolve() != ROOT / "dbt" or project.target_name != "duckdb":
            return None
        return Path(project.project_target_path) / PARTIAL_PARSE_FILE_NAME

    def checked(loader: ManifestLoader) -> object:
        state = check(loader)  # type: ignore[no-untyped-call]
        if own(loader):
            # The result contains the database's name, but not its path.
            state.profile_hash = FileHash.from_contents(loader.root_project.credentials.database)
        return state

    def read_shared(loader: ManifestLoader) -> object:
        path = own(loader)
        if path and not path.exists() and parsed.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(parsed, path)
        return read(loader)

    def write_shared(loader: ManifestLoader) -> None:
        write(loader)  # type: ignore[no-untyped-call]
        path = own(loader)
        if path and path.exists() and not parsed.exists():
            unfinished = parsed.with_name(f"{parsed.name}.{os.getpid()}")
            shutil.copy(path, unfinished)
            unfinished.rename(parsed)

    ManifestLoader.build_manifest_state_check = checked
    ManifestLoader.read_manifest_for_partial_parse = read_shared  # type: ignore[assignment]
    ManifestLoader.write_manifest_for_partial_parse = write_shared
    ManifestLoader.parses_once = True  # type: ignore[attr-defined]
