"""Write the files of a new project. Nothing that exists is overwritten."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from adventure.core.errors import ConfigError
from adventure.core.settings import Settings
from adventure.factory import open_probe
from adventure.scaffold.models import project_files
from adventure.scaffold.pipeline_file import pipeline_text
from adventure.sources.proposal import Proposal, Unmovable

_DBT = Path("dbt")
_PIPELINE = Path("pipeline.toml")
_ENV = Path(".env")

_STATE = """\
# Watermarks are kept in the source database, in the table adventure_watermarks. For a role that may only read, name
# another PostgreSQL database:
# STATE_DSN=postgresql://adventure@localhost/adventure
"""


def ask_sources(settings: Settings, kinds: Sequence[str]) -> tuple[list[Proposal], list[Unmovable]]:
    """Return what the databases of these kinds say of their tables.

    Raises:
        SourceError: a database does not answer, or refuses.
        ConfigError: there is no table to move.
    """
    found: list[Proposal | Unmovable] = []
    for kind in kinds:
        with open_probe(kind, settings) as probe:
            found += probe.propose()
    proposals = [each for each in found if isinstance(each, Proposal)]
    unmovable = [each for each in found if isinstance(each, Unmovable)]
    if not proposals:
        why = "; ".join(f"{each.location}: {each.reason}" for each in unmovable) or "there are none"
        raise ConfigError(f"No table can be moved: {why}", "Name another database, or grant the role what it lacks")
    return proposals, unmovable


def refuse_existing(folder: Path) -> None:
    """Check that the folder has no project yet.

    Raises:
        ConfigError: it has.
    """
    for path in (_PIPELINE, _DBT):
        if (folder / path).exists():
            raise ConfigError(
                f"{folder.resolve() / path} exists, and nothing is overwritten",
                "Run `adventure init` in an empty folder, or move it away",
            )


def write_project(
    folder: Path, names: Mapping[Proposal, str], unmovable: Sequence[Unmovable], env: Mapping[str, str]
) -> Iterator[str]:
    """Write pipeline.toml, .env and the folder dbt, and yield a line for each.

    Args:
        env: the settings of the new .env.
    """
    for path, text in project_files(names).items():
        target = folder / _DBT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    yield f"dbt/: a dbt project with {len(names)} staging models"
    if (folder / _ENV).exists():
        yield ".env: exists, and was left as it is"
    else:
        lines = [f"{name}={_quoted(value)}\n" for name, value in env.items()]
        with (folder / _ENV).open("x", encoding="utf-8") as file:
            (folder / _ENV).chmod(0o600)
            file.write("# Settings; .env.example of the repository explains all of them.\n" + "".join(lines) + _STATE)
        yield ".env: how to reach the databases. Keep it out of version control"
    (folder / _PIPELINE).write_text(pipeline_text(names, unmovable), encoding="utf-8")
    yield f"pipeline.toml: {len(names)} streams"


def _quoted(value: str) -> str:
    """Return a value as python-dotenv reads it back."""
    if value and not set(value) & set(" \"'#\\$\n`"):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
