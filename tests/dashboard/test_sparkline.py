"""A sparkline is an image whose corners are its values, and whose text cannot leave its attribute."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from adventure.dashboard.sparkline import sparkline
from tests.dashboard.conftest import HOSTILE

SVG = "{http://www.w3.org/2000/svg}"


def image(html: str) -> dict[str, str | None]:
    """Return the attributes of the only element."""
    found: list[dict[str, str | None]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append({"tag": tag, **dict(attrs)})  # type: ignore[method-assign]
    parser.feed(html)
    [only] = found
    return only


@pytest.mark.parametrize(
    ("values", "corners"),
    [
        ([0, 1, 0.5], [(0, 46), (100, 2), (200, 24)]),
        ([7, 7], [(0, 46), (200, 46)]),
        ([-3, 3], [(0, 46), (200, 2)]),
    ],
)
def test_the_line_has_a_corner_for_each_value(values: list[float], corners: list[tuple[float, float]]) -> None:
    source = image(sparkline(values, "Orders over time", "#0058B8"))["src"] or ""
    kind, _, drawing = source.partition(",")
    assert kind == "data:image/svg+xml"
    line = ElementTree.fromstring(unquote(drawing)).find(f"{SVG}polyline")
    assert line is not None
    assert line.get("stroke") == "#0058B8"
    found = [tuple(map(float, corner.split(","))) for corner in re.split(" ", line.get("points") or "")]
    assert found == corners


def test_the_text_is_escaped() -> None:
    found = image(sparkline([1, 2], HOSTILE, "#0058B8"))
    assert found["tag"] == "img"
    assert found["alt"] == HOSTILE


@pytest.mark.parametrize("values", [[], [5]])
def test_a_line_needs_two_values(values: list[float]) -> None:
    assert sparkline(values, "Orders", "#0058B8") == ""
