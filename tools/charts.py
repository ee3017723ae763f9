"""Writes what each chart of the dashboard asks as a Snowflake worksheet, into snowflake/charts (`make worksheet`).

The statements are the app's own: each chart's function is run on an empty warehouse, and what it asks is written down,
with session variables in the place of the days that the app binds.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

import duckdb
import pandas as pd
import yaml

from adventure.core.settings import load_settings
from adventure.dashboard.pipeline import state
from adventure.dashboard.sales import metrics
from adventure.dashboard.sales.scope import Scope
from adventure.destinations.common.publication import MARTS
from adventure.destinations.duckdb.published import DuckDBCopy
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.published import Query

ROOT = Path(__file__).parent.parent

# Days that nothing else is: a bound value tells by itself what it stands for.
_SCOPE = Scope(date(2001, 2, 3), date(2001, 3, 4))
_TODAY = _SCOPE.last + timedelta(1)
_NOW = datetime(_TODAY.year, _TODAY.month, _TODAY.day)
_VARIABLES = {
    _SCOPE.first: ("first_day", "dateadd('day', -29, to_date(sysdate()))"),
    _TODAY: ("end_day", "dateadd('day', 1, to_date(sysdate()))"),
    _SCOPE.before().first: ("before_day", "dateadd('day', -59, to_date(sysdate()))"),
}
"""By what is bound: the variable, and its value for the last 30 days, today included."""

_HEAD = """\
-- {title}
-- What the dashboard asks for it, of the last 30 days and all countries and channels. Made by `make worksheet`, not by
-- hand. Run all of it, as a role that may read what was published (ADVENTURE_READER).
use schema ADVENTURE.DASHBOARD;
"""


@dataclass(frozen=True)
class Chart:
    """A chart or a table of the app."""

    title: str
    ask: Callable[[Query], object]


def charts() -> dict[str, Chart]:
    """By the name of its file."""
    by_segment = {
        f"sales_by_{segment}": Chart(
            f"Sales page: revenue by day and {dimension.label.lower()}. For orders or units, sum those.",
            partial(_series, segment),
        )
        for segment, dimension in metrics.SEGMENTS.items()
    }
    return {
        "headlines": Chart("Sales page: the cards, these 30 days and the 30 before.", _headlines),
        "sparklines": Chart("Sales page: the sparklines of the cards, day by day.", _sparklines),
        **by_segment,
        "drivers": Chart("Sales page: what drives the change in revenue, by country: now, and before.", _drivers),
        "countries_and_channels": Chart("Sales page: countries and channels, by revenue.", _markets),
        "top_products": Chart("Sales page: the products that sold most, by revenue.", _products),
        "support": Chart("Sales page: support chats, in total and beside the orders of each day.", _support),
        "campaigns": Chart("Sales page: what e-mail campaigns led to.", _campaigns),
        "pipeline": Chart(
            "Pipeline page: the flow, its tasks, models and tests, and rejected rows by reason.", state.read
        ),
        "cycles": Chart("Pipeline page: rows per cycle of the last hours.", state.cycles),
        "lateness": Chart("Pipeline page: how late rows landed in the last hours.", state.lateness),
        "credits": Chart("Pipeline page: credits used, day by day, as the account meters.", state.credits),
        "rejected_rows": Chart("Pipeline page: the latest rejected rows.", state.rejected_rows),
    }


def worksheet(chart: Chart, query: Query) -> str:
    """The whole file.

    Args:
        query: answers, on the tables that are published.
    """
    asked: list[str] = []
    used: dict[str, str] = {}

    def noting(statement: str, values: Sequence[object]) -> pd.DataFrame:
        text = dedent(statement).strip()
        for value in values:
            if isinstance(value, date):
                name, meaning = _VARIABLES[value.date() if isinstance(value, datetime) else value]
                used[name] = meaning
                text = text.replace("?", f"${name}", 1)
            else:
                text = text.replace("?", f"'{value}'", 1)
        asked.append(text)
        return query(statement, values)

    chart.ask(noting)
    settings = "".join(f"set {name} = {meaning};\n" for name, meaning in used.items())
    return _HEAD.format(title=chart.title) + settings + "".join(f"\n{text};\n" for text in asked)


@contextmanager
def nothing_published() -> Iterator[Query]:
    """Answers on a warehouse that holds nothing."""
    with TemporaryDirectory() as folder:
        settings = load_settings(data_dir=Path(folder))
        DuckDBWarehouse(settings).publish_report([], every=None)
        with duckdb.connect(str(settings.report_path)) as published:
            for mart, columns in _contracts().items():
                published.execute(f"create table {mart} ({columns})")
            # A view over the account's metering, in Snowflake alone: 5_dashboard.sql.
            published.execute("create table credits (day date, credits double)")
        yield DuckDBCopy(settings.report_path, "").query


def _contracts() -> dict[str, str]:
    """The columns of each published mart, as dbt holds it to them."""
    files = ("dashboard/_dashboard__models.yml", "_marts__models.yml")
    models = [
        model
        for name in files
        for model in yaml.safe_load((ROOT / "dbt/models/marts" / name).read_text(encoding="utf-8"))["models"]
    ]
    return {
        model["name"]: ", ".join(f"{column['name']} {column['data_type']}" for column in model["columns"])
        for model in models
        if model["name"] in MARTS
    }


def _series(segment: metrics.Segment, query: Query) -> object:
    return metrics.series(query, _SCOPE, segment, "revenue", "day", _NOW)


def _headlines(query: Query) -> object:
    return [metrics.total(query, scope) for scope in (_SCOPE, _SCOPE.before())]


def _sparklines(query: Query) -> object:
    return metrics.sparkline(query, _SCOPE, _TODAY)


def _drivers(query: Query) -> object:
    return metrics.contributions(query, _SCOPE, "country", "revenue", _TODAY)


def _markets(query: Query) -> object:
    return metrics.country_by_channel(query, _SCOPE, "revenue")


def _products(query: Query) -> object:
    return metrics.top_products(query, _SCOPE, "revenue")


def _support(query: Query) -> object:
    return metrics.chats(query, _SCOPE), metrics.chats_and_orders(query, _SCOPE, "day", _NOW)


def _campaigns(query: Query) -> object:
    return metrics.campaigns(query, _SCOPE)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    with nothing_published() as query:
        for name, chart in charts().items():
            (folder / f"{name}.sql").write_text(worksheet(chart, query), encoding="utf-8")


if __name__ == "__main__":
    main()
