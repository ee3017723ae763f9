"""Draw charts side by side as SVG without a library: points over a logarithmic size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_WIDTH, _HEIGHT, _GAP = 280, 190, 40
_LEFT, _TOP, _BOTTOM = 56, 48, 48
_INK, _SOFT, _LINE = "#333333", "#d9d9d9", "#1f6f8b"


@dataclass(frozen=True)
class Series:
    """The points of a chart."""

    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """A chart. Its y-axis begins at zero, or is logarithmic if y is proportional to x."""

    title: str
    unit: str
    series: Series
    proportional: bool = False
    """Draw the line of proportional growth from the first point as well."""


def draw(panels: Sequence[Panel], x_title: str, path: Path) -> None:
    """Write the panels side by side."""
    width = len(panels) * (_LEFT + _WIDTH + _GAP)
    height = _TOP + _HEIGHT + _BOTTOM
    body = "".join(
        f'<g transform="translate({number * (_LEFT + _WIDTH + _GAP) + _LEFT},{_TOP})">{_panel(panel, x_title)}</g>'
        for number, panel in enumerate(panels)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' font-family="system-ui, sans-serif" font-size="12" fill="{_INK}">'
        f'<rect width="{width}" height="{height}" fill="white"/>{body}</svg>\n',
        encoding="utf-8",
    )


def _panel(panel: Panel, x_title: str) -> str:
    x_low, x_high = _decades(panel.series.x)

    def across(value: float) -> float:
        return _WIDTH * (math.log10(value) - x_low) / (x_high - x_low)

    if panel.proportional:
        y_low, y_high = _decades(panel.series.y)
        marks = [10.0**power for power in range(y_low, y_high + 1)]

        def up(value: float) -> float:
            return _HEIGHT * (1 - (math.log10(value) - y_low) / (y_high - y_low))
    else:
        marks = _steps(max(panel.series.y))

        def up(value: float) -> float:
            return _HEIGHT * (1 - value / marks[-1])

    parts = [f'<text y="-24" font-size="13" font-weight="600">{escape(panel.title)}</text>']
    parts.append(f'<text y="-8" fill="#777777">{escape(panel.unit)}</text>')
    for mark in marks:
        parts.append(f'<line x2="{_WIDTH}" y1="{up(mark):.1f}" y2="{up(mark):.1f}" stroke="{_SOFT}"/>')
        parts.append(f'<text x="-8" y="{up(mark) + 4:.1f}" text-anchor="end">{mark:,g}</text>')
    for power in range(x_low, x_high + 1):
        label = f'10<tspan dy="-5" font-size="9">{power}</tspan>'
        parts.append(f'<text x="{across(10.0**power):.1f}" y="{_HEIGHT + 20}" text-anchor="middle">{label}</text>')
    parts.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT + 38}" text-anchor="middle">{escape(x_title)}</text>')
    points = [(across(x), up(y)) for x, y in zip(panel.series.x, panel.series.y, strict=True)]
    if panel.proportional:
        first, last = panel.series.x[0], panel.series.x[-1]
        ends = [(across(x), up(panel.series.y[0] * x / first)) for x in (first, last)]
        parts.append(f'<polyline points="{_points(ends)}" fill="none" stroke="#999999" stroke-dasharray="4 4"/>')
    parts.append(f'<polyline points="{_points(points)}" fill="none" stroke="{_LINE}" stroke-width="2"/>')
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{_LINE}"/>' for x, y in points]
    return "".join(parts)


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten around the values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _steps(largest: float) -> list[float]:
    """Return four to eight round numbers from zero to past the largest value."""
    size = 10.0 ** math.floor(math.log10(largest))
    step = next(size * share for share in (0.2, 0.5, 1, 2) if size * share * 6 >= largest)
    return [step * number for number in range(math.ceil(largest / step) + 1)]
