"""The dbt project as dbt parsed it, kept in this process until something changes that it was parsed from.

A task server builds every few seconds, and parsing takes a second, even with dbt's own cache on the disk.
"""

import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

Describing = dict[str, Any]
"""What is in dbt's manifest.json, as far as builds read it; the whole has some megabytes."""
_DESCRIBED = {
    "nodes": ("name", "resource_type", "tags"),
    "sources": ("name", "source_name", "schema", "identifier"),
}


@dataclass(frozen=True)
class Parsed:
    """A parsed project."""

    made_from: Hashable
    stored: bytes
    """dbt's manifest as in its file partial_parse.msgpack. A build changes its manifest, so each gets a new one."""
    description: Describing

    def manifest(self) -> Any:
        """Return a manifest for one run of dbt."""
        from dbt.contracts.graph.manifest import Manifest
        from dbt.parser.manifest import extended_mashumuro_decoder

        return Manifest.from_msgpack(self.stored, decoder=extended_mashumuro_decoder)


_last: Parsed | None = None


def parsed(project: Path, target: Path, arguments: Sequence[str], parse: Callable[[], Any]) -> Parsed:
    """Return the parsed project: the last one of this process, if its files, arguments and environment are the same.

    Args:
        target: dbt's target folder, in which `parse` leaves manifest.json.
        arguments: what every command of dbt gets: project, profile, target.
        parse: parses the project and returns dbt's manifest.
    """
    global _last
    # Read before parsing: a file that changes meanwhile is then parsed again.
    now = (tuple(arguments), tuple(sorted(os.environ.items())), _files(project))
    described = target / "manifest.json"
    if _last is None or _last.made_from != now or not described.is_file():
        _last = Parsed(now, _stored(parse()), _description(described))
    return _last


def _stored(manifest: Any) -> bytes:
    from dbt.parser.manifest import extended_mashumaro_encoder

    stored: bytes = manifest.to_msgpack(extended_mashumaro_encoder)
    return stored


def _description(described: Path) -> Describing:
    """Return what builds read of a manifest.json."""
    whole = orjson.loads(described.read_bytes())
    kept = {
        kind: {name: {key: node[key] for key in keys} for name, node in whole[kind].items()}
        for kind, keys in _DESCRIBED.items()
    }
    return {**kept, "parent_map": whole["parent_map"], "child_map": whole["child_map"]}


def _files(project: Path) -> Hashable:
    """Return path, time of change, size and inode of each file of the project; hidden folders are not dbt's."""
    found = []
    for folder, folders, names in os.walk(project):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(folder, name)
            state = path.stat()
            found.append((str(path), state.st_mtime_ns, state.st_size, state.st_ino))
    return tuple(sorted(found))
