"""Replace small JSON files at once, so that a reader sees the old content or the new one."""

import json
from pathlib import Path


def replace_json(path: Path, content: object) -> None:
    """Write the content beside the file, and put it in the file's place. Values that JSON lacks are written as text.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(json.dumps(content, default=str, indent=2), encoding="utf-8")
    unfinished.replace(path)
