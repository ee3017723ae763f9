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
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


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


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_headings_that_exist(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", document.read_text(encoding="utf-8"))
    targets = [(document.parent / path if path else document, anchor) for path, anchor in links]
    assert [
        (path.name, anchor) for path, anchor in targets if path.suffix == ".md" and anchor not in anchors(path)
    ] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_in_documents_exist(document: Path) -> None:
    known = set(commands())
    typed = set(re.findall(r"`(adventure [a-z]+(?: [a-z]+)?)", document.read_text(encoding="utf-8")))
    unknown = {
        text for text in typed if not any(text == command or text.startswith(f"{command} ") for command in known)
    }
    assert unknown == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_cell_of_a_table_holds_a_phrase(document: Path) -> None:
    rows = [line for line in document.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [re.sub(r"\]\([^)]*\)", "", cell) for row in rows for cell in re.split(r"(?<!\\)\|", row)]
    assert [cell for cell in cells if len(cell) > 200] == []


def test_every_path_that_contributing_names_exists() -> None:
    paths = {path.rstrip("/") for path in re.findall(r"`([\w./-]+(?:\.\w+|/))`", CONTRIBUTING)}
    table = CONTRIBUTING[CONTRIBUTING.index("| … | in |") : CONTRIBUTING.index("## Add a stream")]
    assert len(re.findall(r"^\| .* \| `", table, re.MULTILINE)) >= 10
    # A module's own name stands for the file in the folder that is being made.
    assert [path for path in paths - {"window.json", "kind.py"} if not (ROOT / path).exists()] == []


def test_the_architecture_lists_every_package_and_no_other() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listing = text[text.index("adventure/\n") : text.index("dbt/ ")]
    listed, parents = set(), {2: "adventure"}
    for indent, name in re.findall(r"^( +)([\w.]+)/ ", listing, re.MULTILINE):
        listed.add(f"{parents[len(indent)]}/{name}")
        parents[len(indent) + 2] = f"{parents[len(indent)]}/{name}"
    packages = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "adventure").rglob("__init__.py")}
    assert listed == packages - {"adventure"}


def test_the_changelog_keeps_its_form() -> None:
    """See keepachangelog.com: versions with a date, four kinds of change, one line each."""
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    versions = [line for line in lines if line.startswith("## ")]
    assert versions[0] == "## [Unreleased]"
    assert all(re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", line) for line in versions[1:])
    kinds = {line for line in lines if line.startswith("### ")}
    assert kinds <= {f"### {kind}" for kind in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")}
    entries = lines[lines.index("## [Unreleased]") :]
    assert [line for line in entries if line and not re.match(r"## |### |- ", line)] == []
