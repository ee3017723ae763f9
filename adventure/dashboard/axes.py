"""The axis for counts and amounts of money, shared by all charts, and charts that are not validated."""

from typing import Any

import altair as alt


def amounts(ticks: int, *, money: bool = False) -> alt.Axis:
    """Return an axis with about `ticks` labels such as `0`, `500`, `1.5k`, `2M`.

    Each label has its own unit and is a whole number. Vega's default format writes `0k` beside `1.5k`, and `500m` for a
    half, which a small axis has in spite of tickMinStep.
    """
    form = "$~s" if money else "~s"
    return alt.Axis(
        tickCount=ticks, tickMinStep=1, labelBound=10, labelExpr=f"datum.value % 1 ? '' : format(datum.value, '{form}')"
    )


class Unvalidated:
    """A chart that Streamlit draws without checking it against the schema of Vega-Lite.

    The check takes a third of the time of a change on the Sales page. The tests make it.
    """

    def __init__(self, chart: Any) -> None:
        self._chart = chart

    def to_dict(self) -> dict[str, Any]:
        """Return the specification of the chart."""
        found: dict[str, Any] = self._chart.to_dict(validate=False)
        return found
