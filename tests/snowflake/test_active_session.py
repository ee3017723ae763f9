"""The session in which Snowflake runs the app, as far as its manual describes it: sql with params, schema, collect."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from adventure.destinations.snowflake import published
from adventure.destinations.snowflake.published import SnowflakeDataset, read_active

ROW = {
    "N": ("LongType", 3, "int64"),
    "WHOLE": ("DecimalType", 3, "int64"),
    "AMOUNT": ("DecimalType", Decimal("1.20"), "object"),
    "SHARE": ("DoubleType", 0.5, "float64"),
    "IS_NEW": ("BooleanType", True, "bool"),
    "DAY": ("DateType", date(2026, 1, 2), "object"),
    "AT": ("TimestampType", datetime(2026, 1, 2, 3), "datetime64[us]"),
    "NAME": ("StringType", "a", "object"),
    '"mixed Case"': ("VariantType", "{}", "object"),
}
SCALES = {"AMOUNT": 2, "WHOLE": 0}


def _field(name: str) -> SimpleNamespace:
    kind = type(ROW[name][0], (), {"scale": SCALES.get(name, 0), "tz": "ntz"})()
    return SimpleNamespace(name=name, datatype=kind)


class Session:
    """Answers every statement with these rows."""

    def __init__(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self.rows = rows
        self.asked: list[tuple[str, Any]] = []

    def sql(self, statement: str, params: Sequence[object] | None = None) -> SimpleNamespace:
        self.asked.append((statement, params))
        schema = SimpleNamespace(fields=[_field(name) for name in ROW])
        return SimpleNamespace(schema=schema, collect=lambda: self.rows)


@pytest.mark.parametrize("rows", [[tuple(value for _, value, _ in ROW.values())], []], ids=["a row", "no row"])
def test_the_types_are_those_of_the_statement(rows: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(rows)
    monkeypatch.setattr(published, "_active_session", lambda: session)
    frame = SnowflakeDataset("t", "at", "", read_active).query("select ? as n", [3])
    assert session.asked == [("select ? as n", [3])]
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        name.strip('"').lower(): kind for name, (_, _, kind) in ROW.items()
    }
    assert frame.values.tolist() == ([] if not rows else [list(frame.iloc[0])])


def test_nothing_but_the_manuals_interface_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session without a connection: the one of Snowpark is none of the app's."""
    import sys

    context = ModuleType("snowflake.snowpark.context")
    context.get_active_session = lambda: Session([])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "snowflake.snowpark", ModuleType("snowflake.snowpark"))
    monkeypatch.setitem(sys.modules, "snowflake.snowpark.context", context)
    assert len(SnowflakeDataset("t", "at", "", read_active).query("select 1")) == 0
