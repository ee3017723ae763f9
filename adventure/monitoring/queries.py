"""The two validation queries of `adventure check --queries`: how many orders and lines have a value in each column.

Each warehouse has both as files that also run by hand: `adventure/destinations/<warehouse>/queries/*.sql`. The results
stand beside the expected figures and are not judged; `adventure check` judges.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adventure.core.console import console, table
from adventure.core.settings import Settings
from adventure.factory import open_warehouse, validation_query
from adventure.monitoring.checks import require_models
from adventure.monitoring.checks.sales import ATTRIBUTES, COLUMNS, LAST_30_DAYS, MARCH, SHARES

_LIVE = {
    **{name: recent for name, (_, recent) in SHARES.items() if recent},
    "credit_card_id": 0.968,
    "credit_card_approval_code": 0.968,
    "currency_rate_id": 0.441,
    "lines_per_order": 3.83,
}
"""What live sales have; `adventure check` allows for the difference to the shares of all AdventureWorks orders."""

_COUNTS = ("orders", "lines")


@dataclass(frozen=True)
class Query:
    """A validation query."""

    name: str
    title: str
    columns: tuple[str, ...]
    """The columns of its result after the period, in order."""
    march: Mapping[str, float]
    """The figures of March 2013. A column that is not listed is never null."""


QUERIES = (
    Query(
        "columns",
        "Share of orders that have a value, for each column",
        ("orders", *COLUMNS),
        {"orders": 441, **{name: march for name, (march, _) in SHARES.items()}},
    ),
    Query(
        "attributes",
        "Share of order lines that have a value, for each nested attribute",
        ("orders", "lines", "lines_per_order", *ATTRIBUTES),
        {"orders": 441, "lines": 2_613, "lines_per_order": 5.925},
    ),
)


@dataclass(frozen=True)
class Figure:
    """One column of a result."""

    name: str
    found: Mapping[str, float | None]
    """By period; None if the period has no order."""
    expected: Mapping[str, str]
    """By period; `-` where no figure is expected, `≈` before one that varies."""


@dataclass(frozen=True)
class Result:
    """The result of a validation query."""

    query: Query
    file: str
    figures: tuple[Figure, ...]


def run_queries(settings: Settings) -> list[Result]:
    """Run both queries.

    Raises:
        WarehouseError: the warehouse cannot be read, or no model was built yet.
    """
    warehouse = open_warehouse(settings)
    require_models(warehouse, ["base_real_time__sales_orders"])
    results = []
    for query in QUERIES:
        file = validation_query(settings, query.name)
        rows = warehouse.execute(file.read_text(encoding="utf-8"))
        results.append(Result(query, str(file), figures(query, rows)))
    return results


def figures(query: Query, rows: Sequence[Sequence[Any]]) -> tuple[Figure, ...]:
    """Return each column of a query's rows, of which there is one for each period that has orders."""
    found = {row[0]: dict(zip(query.columns, row[1:], strict=True)) for row in rows}
    return tuple(
        Figure(
            name,
            {period: found[period][name] if period in found else None for period in (MARCH, LAST_30_DAYS)},
            {MARCH: shown(name, query.march.get(name, 1)), LAST_30_DAYS: _expected_live(name)},
        )
        for name in query.columns
    )


def _expected_live(name: str) -> str:
    if name in _COUNTS:
        return "-"
    if name in _LIVE:
        return f"≈ {_LIVE[name]:g}"
    return f"{SHARES.get(name, (1, 1))[1]:g}"


def shown(name: str, value: float | None) -> str:
    """Return a count with thousands separators, a share with at most three decimals, and `-` for None."""
    if value is None:
        return "-"
    return f"{int(value):,}" if name in _COUNTS else f"{float(value):g}"


def print_results(results: Sequence[Result]) -> None:
    """Print one table for each query: its columns as rows, the periods side by side."""
    for result in results:
        rows = table(
            result.query.title,
            left=("column",),
            right=(MARCH, "expected", LAST_30_DAYS, "expected"),
        )
        for figure in result.figures:
            cells = ((shown(figure.name, figure.found[p]), figure.expected[p]) for p in (MARCH, LAST_30_DAYS))
            rows.add_row(figure.name, *[cell for pair in cells for cell in pair])
        console().print(rows)
        console().print(f"The query: {result.file}", soft_wrap=True, markup=False)


def results_object(results: Sequence[Result]) -> dict[str, Any]:
    """Return the object of `adventure check --queries --json`."""
    return {
        "queries": [
            {
                "query": result.query.name,
                "file": result.file,
                "figures": [
                    {
                        "column": figure.name,
                        "march_2013": _number(figure.found[MARCH]),
                        "march_2013_expected": figure.expected[MARCH],
                        "last_30_days": _number(figure.found[LAST_30_DAYS]),
                        "last_30_days_expected": figure.expected[LAST_30_DAYS],
                    }
                    for figure in result.figures
                ],
            }
            for result in results
        ]
    }


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
