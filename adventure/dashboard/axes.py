"""The axis of whatever is counted or paid, for all charts."""

import altair as alt


def amounts(ticks: int, *, money: bool = False) -> alt.Axis:
    """`0`, `500`, `1.5k`, `2M`, about as many of them as asked: whole numbers, each with its own unit.

    Vega's own would write `0k` beside `1.5k`, and `500m` for a half, of which there is none.
    """
    form = "$~s" if money else "~s"
    return alt.Axis(tickCount=ticks, tickMinStep=1, labelExpr=f"format(datum.value, '{form}')")
