"""A small line without axes, as an image of a few hundred bytes. No Streamlit here.

Streamlit's own is a Vega chart on each card, which the browser compiles again for each change of the page.
"""

from collections.abc import Sequence
from urllib.parse import quote

from adventure.dashboard.format import markup

_WIDTH, _HEIGHT, _MARGIN = 200, 48, 2
"""In units of the drawing, which is stretched to the width of its card."""


def sparkline(values: Sequence[float], label: str, colour: str) -> str:
    """Return HTML of the line, with an area down to the least value; empty with fewer than two values.

    Args:
        label: what the line shows, for screen readers; any text.
        colour: such as `#0058B8`.
    """
    if len(values) < 2:
        return ""
    points = _points(values)
    area = f"{points} {_WIDTH},{_HEIGHT} 0,{_HEIGHT}"
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none">'
        f'<polygon points="{area}" fill="{colour}" fill-opacity="0.18"/>'
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"'
        ' vector-effect="non-scaling-stroke"/></svg>'
    )
    # An image: Streamlit removes drawings from HTML.
    source = f"data:image/svg+xml,{quote(drawing)}"
    return f'<img src="{source}" alt="{markup(label)}" style="display: block; width: 100%; height: {_HEIGHT}px">'


def _points(values: Sequence[float]) -> str:
    """Return the corners of the line, from left to right."""
    low, high = min(values), max(values)
    scale = (_HEIGHT - 2 * _MARGIN) / (high - low) if high > low else 0.0
    step = _WIDTH / (len(values) - 1)
    return " ".join(
        f"{place * step:.1f},{_HEIGHT - _MARGIN - (value - low) * scale:.1f}" for place, value in enumerate(values)
    )
