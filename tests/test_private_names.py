"""The package uses public names of its libraries only: a private one may be renamed in any release."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "adventure"

ALLOWED = {
    # The file says why there is no public way.
    ("sources/postgres/record_batches.py", "adbc_driver_manager._reader"),
    ("sources/postgres/record_batches.py", "AdbcRecordBatchReader._import_from_c"),
    ("core/kernels.py", "pyarrow._compute"),
    # Public in spite of its name: documented by Python.
    ("cli/ending.py", "os._exit"),
    ("core/stopping.py", "os._exit"),
    ("demo/history/campaigns.py", "event._replace"),
    # The connector's only way to tag one statement without a statement of its own.
    ("destinations/snowflake/session.py", "_statement_params="),
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names(path: Path) -> Iterator[str]:
    """Private names of other modules and objects in this file: imports, attributes and keywords."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if any(map(is_private, each.name.split("."))))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] != "adventure":
            names = [node.module or "", *(f"{node.module}.{each.name}" for each in node.names)]
            yield from [name for name in names if any(map(is_private, name.split(".")))][:1]
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = ast.unparse(node.value)
            if owner not in ("self", "cls"):
                yield f"{owner}.{node.attr}"
        elif isinstance(node, ast.Call):
            yield from (f"{each.arg}=" for each in node.keywords if each.arg and is_private(each.arg))


def test_no_private_name_of_a_library_is_used() -> None:
    found = {
        (path.relative_to(PACKAGE).as_posix(), name) for path in PACKAGE.rglob("*.py") for name in private_names(path)
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from psycopg.errors import _WaitTimeout", ["psycopg.errors._WaitTimeout"]),
        ("from adbc_driver_manager._reader import AdbcRecordBatchReader", ["adbc_driver_manager._reader"]),
        ("import pymongo._cmessage", ["pymongo._cmessage"]),
        ("connection._conn.close()", ["connection._conn"]),
        ("open(_private=1)", ["_private="]),
        ("self._mine; cls._ours; module.__name__; from adventure.core import _x", []),
    ],
)
def test_a_private_name_is_found(tmp_path: Path, source: str, found: list[str]) -> None:
    file = tmp_path / "module.py"
    file.write_text("\n".join(source.split("; ")))
    assert list(private_names(file)) == found
