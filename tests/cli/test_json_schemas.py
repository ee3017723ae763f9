"""Every command with `--json` is documented, and no key that was ever documented disappears or changes its name."""

import re
from pathlib import Path

from tests.test_general_options import COMMANDS
from tests.test_json_output import documented

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "json.md"
KNOWN = Path(__file__).with_name("json_keys.txt")
"""The keys of schema 1, one a line as `command: key`. Add new keys; a key that must go needs schema 2."""


def keys() -> list[str]:
    """Return the documented keys, as KNOWN lists them."""
    commands = re.findall(r"^## adventure (.+)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    return [f"{command}: {key}" for command in commands for key in documented(f"adventure {command}")]


def test_every_command_with_json_has_its_keys_in_the_document() -> None:
    undocumented = [
        " ".join(words)
        for words, command in COMMANDS.items()
        if any("--json" in param.opts for param in command.params) and not documented(f"adventure {' '.join(words)}")
    ]
    assert undocumented == []


def test_the_keys_are_those_of_schema_1() -> None:
    assert keys() == KNOWN.read_text(encoding="utf-8").splitlines()
