"""List the locked packages that are at least one major version behind the newest one, and what holds each of them back.

    python -m tools.outdated

uv asks the package index that this machine is configured for. Read together with pyproject.toml: a package that only
pyproject.toml holds back can be lifted there, and one that another package holds back has to wait for that package.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Behind:
    """A package that is at least one major version behind."""

    name: str
    locked: Version
    newest: Version
    held_by: tuple[str, ...]
    """The installed packages whose requirements exclude the newest version."""


def read_lock(text: str) -> dict[str, Version]:
    """Return the version of each package in a lock; the highest, where it differs by Python version or platform."""
    found: dict[str, Version] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE):
        key = canonicalize_name(name)
        found[key] = max(Version(version), found.get(key, Version(version)))
    return found


def is_major_behind(locked: Version, newest: Version) -> bool:
    """Return whether a major version lies between the two; before 1.0, a minor version counts as one."""
    if locked.major != newest.major:
        return locked < newest
    return locked.major == 0 and locked.minor < newest.minor


def holders(name: str, newest: Version, requirements: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the packages that exclude the newest version of a package.

    Args:
        requirements: pairs of a package and one of its requirements, as in `Requires-Dist`.
    """
    held = set()
    for package, text in requirements:
        required = Requirement(text)
        if canonicalize_name(required.name) == name and not required.specifier.contains(newest, prereleases=True):
            held.add(package)
    return tuple(sorted(held))


def find_behind(
    locked: dict[str, Version], newest: dict[str, Version], requirements: list[tuple[str, str]]
) -> list[Behind]:
    """Return the locked packages that are at least one major version behind, by name."""
    return [
        Behind(name, version, newest[name], holders(name, newest[name], requirements))
        for name, version in sorted(locked.items())
        if name in newest and is_major_behind(version, newest[name])
    ]


def _requirements() -> Iterator[tuple[str, str]]:
    """Yield each requirement of each installed package; those of its extras for Adventure's packages alone."""
    for package in distributions():
        name = package.metadata["Name"]
        for text in package.requires or []:
            marker = Requirement(text).marker
            if marker is None or name.startswith("adventure-pipeline") or marker.evaluate({"extra": ""}):
                yield name, text


def _newest_versions() -> dict[str, Version]:
    """Return the newest version of each installed package that is not the installed one."""
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "pip", "list", "--outdated", "--format", "json", "--python", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"uv could not ask the package index: {done.stderr.strip()}")
    return {canonicalize_name(row["name"]): Version(row["latest_version"]) for row in json.loads(done.stdout)}


def main() -> None:
    locked: dict[str, Version] = {}
    for lock in sorted((ROOT / "requirements").glob("*.lock")):
        if lock.stem == "snow-cli":
            # Its environment is another one, and Snowflake's command line holds all of it.
            continue
        locked |= read_lock(lock.read_text(encoding="utf-8"))
    behind = find_behind(locked, _newest_versions(), list(_requirements()))
    for package in behind:
        held = ", ".join(package.held_by) or "nothing: try LOCK_ARGS=--upgrade"
        print(f"{package.name:32} {package.locked!s:14} {package.newest!s:14} held by {held}")  # noqa: T201
    print(f"{len(behind)} of {len(locked)} locked packages are at least one major version behind")  # noqa: T201


if __name__ == "__main__":
    main()
