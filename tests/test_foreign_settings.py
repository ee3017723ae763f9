"""An `.env` of another pipeline: each of its names has its effect here, or one sentence says what takes its place."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adventure.cli import app
from adventure.core.environment import load_settings
from adventure.core.foreign_settings import REPLACED_BY, find_warnings
from adventure.core.settings import Settings
from tests.conftest import ROOT

THEIRS = """
POSTGRES_HOST=db.example
POSTGRES_PORT=5433
POSTGRES_DB=shop
POSTGRES_USER=etl
POSTGRES_PASSWORD=secret
MONGO_HOST=chats.example
MONGO_PORT=27018
MONGO_DB=logs
MONGO_COLLECTION=tickets
SNOWFLAKE_ACCOUNT=acme-sales
SNOWFLAKE_USER=ETL
SNOWFLAKE_PASSWORD=eyJraWQiOiIx.eyJpc3MiOiJT.c2lnbmF0dXJl
SNOWFLAKE_ROLE=LOADER
SNOWFLAKE_WAREHOUSE=WH
SNOWFLAKE_DATABASE=SHOP
SNOWFLAKE_SCHEMA=RAW_EXT
ORDERS_STAGE=o
ORDER_DETAILS_STAGE=d
CHAT_STAGE=c
GENERATION_INTERVAL_SEC=7
GENERATION_MAX_RUNTIME_SEC=60
ORDER_BATCH_SIZE=10
PROCESSOR_INTERVAL_SEC=15
PROCESSOR_MAX_RUNTIME_SEC=90
PROCESSOR_ENABLE_COPY_INTO=true
PROCESSOR_ENABLE_CLEANUP=true
LOG_LEVEL=INFO
"""


@pytest.fixture
def env(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in REPLACED_BY:
        monkeypatch.delenv(name, raising=False)
    (empty_folder / ".env").write_text(THEIRS)
    return empty_folder / ".env"


def test_every_name_is_honoured_or_named_with_its_replacement(env: Path) -> None:
    given = dict(line.split("=", 1) for line in THEIRS.split())
    settings = load_settings()
    honoured = {name for name in given if name.lower() in Settings.model_fields}
    for name in honoured:
        value: Any = getattr(settings, name.lower())
        shown = value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
        assert shown.removesuffix(".0") == given[name]
    named = {sentence.split()[0] for sentence in find_warnings(None, "snowflake")}
    assert named == set(given) - honoured
    assert named == {"SNOWFLAKE_SCHEMA", "PROCESSOR_ENABLE_COPY_INTO", "PROCESSOR_ENABLE_CLEANUP", "LOG_LEVEL"}


def test_a_command_says_each_sentence_once(env: Path) -> None:
    result = CliRunner().invoke(app, ["stage", "list"], obj=None)
    assert result.output.count("SNOWFLAKE_ACCOUNT is set, but WAREHOUSE is duckdb") == 1
    assert result.output.count("LOG_LEVEL is not a setting of Adventure and has no effect. In its place: ") == 1


def test_the_chosen_warehouse_s_settings_are_not_pointed_out(env: Path) -> None:
    assert [text for text in find_warnings(None, "snowflake") if "WAREHOUSE is" in text] == []


def test_names_in_the_environment_count_and_empty_ones_do_not(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in REPLACED_BY:
        monkeypatch.setenv(name, "")
    assert list(find_warnings(None, "duckdb")) == []
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    assert [text.split()[0] for text in find_warnings(None, "duckdb")] == ["LOG_LEVEL"]


def test_no_replaced_name_is_a_setting() -> None:
    assert [name for name in REPLACED_BY if name.lower() in Settings.model_fields] == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "POSTGRES_PROT=5433",
            ["POSTGRES_PROT is not a setting of Adventure and has no effect. Did you mean POSTGRES_PORT?"],
        ),
        ("COLOUR_OF_THE_SKY=blue", ["COLOUR_OF_THE_SKY is not a setting of Adventure and has no effect."]),
        ("PROCESS_EVERY_SEC=10", []),
        ("postgres_port=5433", []),
        ("#POSTGRES_PROT=5433", []),
    ],
)
def test_an_unknown_name_in_the_file_is_named(empty_folder: Path, line: str, expected: list[str]) -> None:
    (empty_folder / ".env").write_text(f"{line}\n")
    assert list(find_warnings(None, "duckdb")) == expected


def test_the_example_has_no_unknown_name(empty_folder: Path) -> None:
    (empty_folder / ".env").write_text((ROOT / ".env.example").read_text())
    assert [warning for warning in find_warnings(None, "snowflake") if "no effect" in warning] == []
