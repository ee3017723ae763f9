"""What Adventure does in place of dbt gives what dbt gives, and only in the versions of dbt that it was made for."""

import threading
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import pytest

from adventure.destinations.common import dbt_patches
from adventure.destinations.common.dbt_patches import quick_dbt


@pytest.fixture
def quick() -> Iterator[None]:
    with quick_dbt():
        yield


def functions() -> list[Any]:
    return [vars(owner).get(name) for owner, name, _ in dbt_patches._replacements()]


def test_dbt_has_its_own_functions_again_after_the_block() -> None:
    before = functions()
    with quick_dbt():
        assert all(ours is not theirs for ours, theirs in zip(functions(), before, strict=True))
    assert functions() == before
    with pytest.raises(ZeroDivisionError), quick_dbt():
        assert 1 / 0
    assert functions() == before


@pytest.mark.parametrize("package", ["dbt-core", "dbt-common"])
def test_another_version_of_dbt_does_it_itself(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    before = functions()
    monkeypatch.setattr(dbt_patches, "version", lambda name: "2.0.0" if name == package else version(name))
    with quick_dbt():
        assert functions() == before


EVENTS: list[tuple[str, str, dict[str, Any]]] = [
    ("dbt.adapters.events.types", "SQLQuery", {"conn_name": "a", "sql": "select 1", "node_info": {"unique_id": "b"}}),
    ("dbt.adapters.events.types", "SQLQueryStatus", {"status": "OK", "elapsed": 1.5}),
    ("dbt_common.events.types", "Note", {"msg": 3}),
    ("dbt_common.events.types", "Formatting", {}),
    ("dbt.events.types", "LogStartLine", {"description": "x", "index": 2, "total": 3, "node_info": {}}),
]


@pytest.mark.parametrize(("module", "name", "given"), EVENTS)
def test_an_event_that_is_read_says_what_dbt_says(module: str, name: str, given: dict[str, Any]) -> None:
    import importlib

    from dbt_common.events.base_types import msg_from_base_event

    kind = getattr(importlib.import_module(module), name)
    theirs = kind(**given)
    with quick_dbt():
        ours, read_later = kind(**given), kind(**given)
        assert "pb_msg" not in vars(ours), "an event that nobody reads costs nothing"
        assert ours.to_dict() == theirs.to_dict()
        assert msg_from_base_event(ours).data == msg_from_base_event(theirs).data
    assert read_later.pb_msg == theirs.pb_msg
    assert read_later.message() == theirs.message()


@pytest.mark.usefixtures("quick")
def test_an_attribute_of_an_event_is_set_on_its_message() -> None:
    from dbt_common.events.types import Note

    event: Any = Note(msg="before")
    event.msg = "after"
    assert event.to_dict() == {"msg": "after"}
    with pytest.raises(AttributeError):
        assert event.no_such_attribute


@pytest.mark.usefixtures("quick")
def test_an_event_with_a_wrong_value_fails_when_it_is_read() -> None:
    from dbt_common.events.types import Note

    event: Any = Note(no_such_field=1)
    with pytest.raises(Exception, match="Unable to parse logging event dictionary"):
        event.to_dict()


TABLES: list[list[dict[str, Any]]] = [
    [],
    [{"failures": 0, "should_warn": False, "amount": Decimal("1.50")}],
    [{"name": "null", "day": "2026-11-30"}, {"name": "", "day": None}],
    [{"nothing": None, "list": [1, 2], "number": 1.5}, {"nothing": None, "list": None, "number": 2}],
]


@pytest.mark.parametrize("rows", TABLES)
def test_an_answer_becomes_the_same_table(rows: list[dict[str, Any]]) -> None:
    from dbt_common.clients.agate_helper import table_from_data_flat

    names = list(rows[0]) if rows else ["a", "b"]

    def read() -> Any:
        table = table_from_data_flat(rows, names)
        return [list(row) for row in table.rows], [type(each) for each in table.column_types]

    theirs = read()
    with quick_dbt():
        assert [read(), read()] == [theirs, theirs]
        found: list[Any] = []
        other = threading.Thread(target=lambda: found.append(read()))
        other.start()
        other.join()
        assert found == [theirs]


def test_text_that_looks_like_a_date_or_null_stays_text() -> None:
    from dbt_common.clients.agate_helper import table_from_rows

    rows = [["null", "2026-11-30"], ["", "12"]]

    def read(**texts: Any) -> Any:
        return [list(row) for row in table_from_rows(rows, ["a", "b"], **texts).rows]

    expected = read(text_only_columns=["a"]), read(text_only_columns=["a", "b"])
    with quick_dbt():
        assert (read(text_only_columns=["a"]), read(text_only_columns=["a", "b"])) == expected


def test_a_behavior_flag_names_the_module_that_asked_for_it() -> None:
    from dbt_common.behavior_flags import Behavior

    def source() -> str:
        flags = Behavior([{"name": "a", "default": True, "docs_url": "b"}], {})
        return str(flags.a._behavior_change_event.flag_source)

    assert source() == __name__
    with quick_dbt():
        assert source() == __name__


def test_a_template_that_was_compiled_before_gives_what_dbt_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    from dbt.clients.jinja import get_rendered
    from dbt_common.clients.jinja import MacroFuzzEnvironment
    from dbt_common.exceptions import CompilationError

    from adventure.destinations.common import dbt_templates

    def rendered() -> list[Any]:
        return [
            get_rendered("{{ number }}, {{ missing }}", {"number": 1}),
            get_rendered("{{ number }}", {"number": 2}),
            get_rendered("{{ number }}", {"number": 2}, native=True),
            get_rendered("{% do things.append(number) %}{{ things }}", {"number": 3, "things": []}),
        ]

    theirs = rendered()
    assert theirs == ["1, ", "2", 2, "[3]"]
    monkeypatch.setattr(dbt_templates, "_MOST", 3)
    parsed: list[str] = []
    parse = MacroFuzzEnvironment._parse

    def noting(self: Any, source: str, *args: Any) -> Any:
        parsed.append(source)
        return parse(self, source, *args)

    monkeypatch.setattr(MacroFuzzEnvironment, "_parse", noting)
    with quick_dbt():
        assert [get_rendered("{{ 1 + number }}", {"number": each}) for each in range(3)] == ["1", "2", "3"]
        assert parsed == ["{{ 1 + number }}"]
        assert [rendered(), rendered()] == [theirs, theirs]
        assert len(dbt_templates._compiled) <= 3
        for _ in range(2):
            with pytest.raises(CompilationError, match="unexpected"):
                get_rendered("{{ ) }}", {})
