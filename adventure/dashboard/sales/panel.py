"""What all panels of the Sales page share: their data, and the columns of their tables."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pandas as pd
import streamlit as st

from adventure.dashboard import exports, format
from adventure.dashboard.layout import theme
from adventure.dashboard.sales.scope import Scope
from adventure.dashboard.vega import Spec, footed
from adventure.destinations.published import Query

CONTROLS = ("pace", "measure", "segment", "grain", "market", "top")
"""The names of the panels' controls, in the session and in the URL."""
NAME, LONG_NAME = 120, 165
"""Widths of the first column in pixels. A phone then shows the figure beside it."""
PERCENT = "%.1f%%"
"""Format of percentages. Streamlit's "percent" format shows a varying number of decimals."""


@dataclass(frozen=True)
class Panel:
    """The data that all panels share."""

    query: Query
    scope: Scope
    now: datetime
    """The current time in the scope's time zone."""
    descriptions: dict[tuple[str, str], str]
    earliest: date
    """The first day with sales."""

    @property
    def today(self) -> date:
        """Return the current day in the scope's time zone."""
        return self.now.date()

    def compared(self) -> tuple[Scope, Scope] | None:
        """Return the days that every change compares; None if there is nothing to compare with."""
        return self.scope.compared(self.today, self.earliest)

    def file(self, name: str) -> str:
        """Return the name of a CSV file, with the days and the filters."""
        return exports.file_name(name, self.scope.first, self.scope.last, self.scope.chosen)

    def file_of_today(self, name: str) -> str:
        """Return the name of a CSV file whose rows do not depend on the period, with today and the filters."""
        return exports.file_name(name, self.today, filters=self.scope.chosen)

    def footed(self, chart: Spec, name: str, shown: Scope | None = None) -> Spec:
        """Return the chart with its name, the days and the filters below it.

        Args:
            shown: what it shows, if that is not the panel's scope.
        """
        scope = shown or self.scope
        chosen = scope.chosen
        filters = f"{len(chosen)} filters" if len(chosen) > 3 else ", ".join(chosen) or "All countries and channels"
        days = f"{format.days(scope.first, scope.last)}, {scope.zone}"
        return footed(chart, [name, days, filters], theme())

    def exact(self, rows: pd.DataFrame, measure: str, amounts: Iterable[str]) -> pd.DataFrame:
        """Return the rows of a CSV file, whose headers say where the amounts of a measure are money."""
        return exports.in_dollars(rows, amounts) if measure == "revenue" else rows

    def description(self, mart: str, name: str) -> str:
        """Return dbt's description of a mart's column or metric, used as help text."""
        return self.descriptions.get((mart, name), "")


def number(measure: str, label: str | None = None, text: str | None = None) -> Any:
    # A step of 1 means whole numbers, and cuts the cents off: round before. The files have them.
    form: Any = "dollar" if measure == "revenue" else "localized"
    return st.column_config.NumberColumn(label, format=form, step=1, help=text)


def share(label: str) -> Any:
    """Return a column of bars from 0 to 100 %."""
    return st.column_config.ProgressColumn(label, format=PERCENT, min_value=0, max_value=100, width=130)
