"""What both pages show when nothing can be read, and what queries return during a publish."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest
from streamlit.testing.v1 import AppTest

from adventure.core.errors import WarehouseError
from adventure.destinations.duckdb.kind import REPORT_PATH, SALES_PATH
from adventure.destinations.duckdb.published import DuckDBDataset
from tests.dashboard.conftest import Shop

PAGES = {"sales": "dashboard.duckdb", "pipeline": "pipeline.duckdb"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder where the app looks for published data."""
    monkeypatch.setenv(SALES_PATH, str(tmp_path / "dashboard.duckdb"))
    monkeypatch.setenv(REPORT_PATH, str(tmp_path / "pipeline.duckdb"))
    return tmp_path


def opened(page: str) -> Any:
    """Return the page as a visitor sees it. No exception may reach Streamlit."""
    found = AppTest.from_string(f"from adventure.dashboard.{page} import page\npage.show()", default_timeout=60).run()
    assert not found.exception
    return found


@pytest.mark.parametrize(
    ("page", "what", "do"),
    [
        ("sales", "Nothing has been published yet", ["`adventure tasks run`", "`make demo`"]),
        ("pipeline", "has not reported yet", ["`adventure tasks run`", "`adventure tasks serve`"]),
    ],
)
def test_without_published_data_a_page_says_what_to_run(folder: Path, page: str, what: str, do: list[str]) -> None:
    [info] = opened(page).info
    assert what in info.value
    assert [each for each in do if each not in info.value] == []


@pytest.mark.parametrize("page", list(PAGES))
@pytest.mark.parametrize("damage", ["torn", "no database", "empty", "another version's"])
def test_damaged_published_data_is_reported_in_one_sentence(folder: Path, shop: Shop, page: str, damage: str) -> None:
    file = folder / PAGES[page]
    whole = {"sales": shop.reader.published_path, "pipeline": shop.reader.report_path}[page].read_bytes()
    if damage == "another version's":
        duckdb.connect(str(file)).close()
    else:
        file.write_bytes({"torn": whole[: len(whole) // 2], "no database": b"?" * 9000, "empty": b""}[damage])
    [error] = opened(page).error
    assert f"{file.name} cannot be read: " in error.value
    assert {"sales": "`adventure build`", "pipeline": "`adventure tasks run`"}[page] in error.value
    assert "\n" not in error.value


def test_intact_data_published_after_damaged_data_is_read(folder: Path, shop: Shop) -> None:
    file = folder / "dashboard.duckdb"
    file.write_bytes(b"?" * 9000)
    copy = DuckDBDataset(file, "")
    with pytest.raises(WarehouseError):
        copy.query("select 1")
    _publish(shop.reader.published_path, file)
    assert copy.query("select count(*) as n from publication")["n"][0] == 1


def _publish(source: Path, target: Path) -> None:
    """Publish as the task does: write a file beside the old one, then replace it."""
    beside = target.with_name(f".{target.name}.unfinished")
    shutil.copyfile(source, beside)
    beside.replace(target)


def _numbered(path: Path, number: int) -> Path:
    """Write published data with a number that identifies it."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table publication as select ? as number", [number])
    return path


@pytest.fixture
def publications(tmp_path: Path) -> tuple[DuckDBDataset, Path]:
    """Return the first published dataset, and the file of the second."""
    copy = DuckDBDataset(tmp_path / "published.duckdb", "")
    _publish(_numbered(tmp_path / "first.duckdb", 1), copy.path)
    return copy, _numbered(tmp_path / "second.duckdb", 2)


def test_a_query_running_during_a_publish_reads_the_old_data(
    publications: tuple[DuckDBDataset, Path],
) -> None:
    copy, second = publications
    begun, published = threading.Event(), threading.Event()

    def waits_for_the_publish(number: int) -> int:
        begun.set()
        assert published.wait(60)
        return number

    copy.query("select 1")  # opens the connection
    connection = copy._connection()
    connection.create_function("waits", waits_for_the_publish, ["integer"], "integer")
    answers: list[int] = []
    asking = threading.Thread(
        target=lambda: answers.append(copy.query("select waits(number) as number from publication")["number"][0])
    )
    asking.start()
    assert begun.wait(60)
    _publish(second, copy.path)
    published.set()
    asking.join(60)
    assert answers == [1]
    assert copy.query("select number from publication")["number"][0] == 2


def test_all_queries_during_publishes_are_answered(
    publications: tuple[DuckDBDataset, Path],
) -> None:
    copy, second = publications
    first = copy.path.with_name("first.duckdb")
    ended = threading.Event()
    answers: set[int] = set()
    errors: list[WarehouseError] = []

    def ask() -> None:
        try:
            while not ended.is_set():
                answers.add(int(copy.query("select number from publication")["number"][0]))
        except WarehouseError as error:
            errors.append(error)

    visitors = [threading.Thread(target=ask) for _ in range(4)]
    for visitor in visitors:
        visitor.start()
    for _ in range(20):
        _publish(second, copy.path)
        _publish(first, copy.path)
    ended.set()
    for visitor in visitors:
        visitor.join(60)
    assert errors == []
    assert answers <= {1, 2}
    assert copy.query("select number from publication")["number"][0] == 1


def test_a_port_in_use_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "adventure", "dashboard"],
            env=os.environ | {"DASHBOARD_PORT": str(port), "DATA_DIR": str(tmp_path), "LOG_FORMAT": "text"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        == f"Port {port}, which DASHBOARD_PORT names, is already in use. Set DASHBOARD_PORT to a free port."
    )
