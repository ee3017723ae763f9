"""The documents list every command and setting, and their links are valid."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from adventure.cli import app
from adventure.core.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(group: typer.Typer = app, prefix: str = "adventure") -> Iterator[str]:
    """Yield every command as a user types it."""
    for command in group.registered_commands:
        assert command.callback is not None
        yield f"{prefix} {command.name or command.callback.__name__}"
    for child in group.registered_groups:
        assert child.typer_instance is not None
        yield from commands(child.typer_instance, f"{prefix} {child.name}")


@pytest.mark.parametrize("command", list(commands()))
def test_every_command_has_a_line_in_the_commands_table(command: str) -> None:
    assert f"\n| `{command}` |" in README


@pytest.mark.parametrize("name", [field.upper() for field in Settings.model_fields])
def test_every_setting_is_in_the_settings_table(name: str) -> None:
    table = README[README.index("| setting |") : README.index("## Your own databases")]
    assert re.search(rf"\b{name}\b", table)


def test_every_make_target_in_a_document_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target for path in DOCUMENTS for target in re.findall(r"`make ([a-z-]+)", path.read_text(encoding="utf-8"))
    }
    assert named <= targets


def test_every_make_target_has_a_description() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(makefile.partition(".PHONY: ")[2].partition("\n")[0].split())
    assert targets == set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))


def test_every_benchmark_is_explained() -> None:
    targets = re.findall(r"^(bench[a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    explained = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert [target for target in targets if f"\n| `make {target}` |" not in explained] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_that_exist(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_in_documents_exist(document: Path) -> None:
    known = set(commands())
    typed = set(re.findall(r"`(adventure [a-z]+(?: [a-z]+)?)", document.read_text(encoding="utf-8")))
    unknown = {
        text for text in typed if not any(text == command or text.startswith(f"{command} ") for command in known)
    }
    assert unknown == set()
