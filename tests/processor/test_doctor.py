"""Test what `adventure doctor` finds, and that it writes nothing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adventure.cli import app
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.monitoring.doctor import examine, findings_object
from adventure.processor.run import process_once
from tests.processor.conftest import writer
from tests.test_json_output import documented, keys

ENV = Path("absent.env")


def faults(settings: Settings, *streams: Stream, env_file: Path = ENV) -> list[tuple[str, str, str]]:
    found = [each for each in examine(settings, streams, env_file) if each.level != "ok"]
    assert all(each.fix for each in found)
    return [(each.level, each.part, each.found) for each in found]


def test_a_whole_installation_has_no_faults(settings: Settings, streams: tuple[Stream, ...]) -> None:
    assert faults(settings, *streams) == []
    assert not settings.data_dir.exists(), "nothing was written"


@pytest.mark.parametrize(
    ("statement", "changes", "expected"),
    [
        ("drop table things", {}, ("error", "there is no table public.things")),
        ("drop index things_changed_at_idx", {}, ("warning", "no index begins with changed_at")),
        ("revoke select on things from adventure_reader", {}, ("error", "may not read public.things")),
        (
            "revoke select on things from adventure_reader;"
            " grant select (id, changed_at) on things to adventure_reader",
            {},
            ("warning", "the role may not read note: left out"),
        ),
        (
            "alter table things alter changed_at type time using changed_at::time",
            {},
            ("error", "its cursor changed_at is of type time"),
        ),
        ("select", {"where": "nothing > 1"}, ("error", "its where is no condition on public.things")),
        (
            "insert into things values (1, now(), null)",
            {"key": ("note",)},
            ("warning", "its key note is NULL in some rows"),
        ),
        ("select", {"key": ("ident",)}, ("error", "has no column ident")),
    ],
)
def test_a_fault_of_a_table_is_found(
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    statement: str,
    changes: dict[str, object],
    expected: tuple[str, str],
) -> None:
    with writer(writer_settings) as connection:
        connection.execute(statement.encode())
    ((level, part, found),) = faults(settings, replace(things, **changes))  # type: ignore[arg-type]
    assert (level, part) == (expected[0], "things")
    assert expected[1] in found


def test_a_watermark_of_another_table_is_found(settings: Settings, writer_settings: Settings, things: Stream) -> None:
    with writer(writer_settings) as connection:
        connection.execute("insert into things (id) values (1)")
    process_once(settings, (things,))
    ((level, _, found),) = faults(settings, replace(things, stage="other_stage"))
    assert level == "error"
    assert "was reached with stage = 'things_stage'" in found


def test_a_misspelt_setting_is_found(settings: Settings, things: Stream, tmp_path: Path) -> None:
    file = tmp_path / "own.env"
    file.write_text("# POSTGRES_HOTS=a\nPOSTGRES_HOTS=b\nSOMETHING_ELSE=c\nDATA_DIR=d\n", encoding="utf-8")
    assert faults(settings, things, env_file=file) == [
        ("warning", "settings", f"{file}: there is no setting POSTGRES_HOTS")
    ]


def test_a_server_that_is_down_is_found(settings: Settings, things: Stream) -> None:
    found = faults(settings.model_copy(update={"postgres_port": 1}), things)
    assert [(level, part) for level, part, _ in found] == [("error", "postgres")]


def test_its_object_has_the_documented_keys(settings: Settings, things: Stream) -> None:
    found = {"schema": 1, **findings_object(examine(settings, (things,), ENV))}
    assert sorted(set(keys(found))) == sorted(documented("adventure doctor"))


def test_the_exit_code_says_that_something_is_wrong(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POSTGRES_PORT", "MONGO_PORT"):
        monkeypatch.setenv(name, "1")
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["errors"] >= 2
