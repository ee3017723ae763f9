"""Numbers and times are formatted for people, names are escaped, and colours are distinct for everyone."""

import itertools
from datetime import timedelta
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pytest
from streamlit.proto.Metric_pb2 import Metric as MetricProto
from streamlit.testing.v1 import AppTest

from adventure.core.ages import long_age, short_age
from adventure.dashboard import format
from adventure.dashboard.colours import PALETTES, Theme, colours

Channels = npt.NDArray[np.float64]


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "$0"), ("987.6", "$988"), ("12345", "$12.3k"), ("4560000", "$4.56M"), ("-12345", "−$12.3k")],
)
def test_money_for_people(amount: str, text: str) -> None:
    assert format.money(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 seconds"), (1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (7300, "2 hours"), (90000, "1 day")],
)
def test_ages_in_sentences(seconds: int, text: str) -> None:
    assert long_age(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_ages_in_tables(seconds: int, text: str) -> None:
    assert short_age(timedelta(seconds=seconds)) == text


def test_changes_for_people() -> None:
    assert [format.percent(change) for change in (0.0424, -0.5, 12.0, None)] == ["+4.2%", "-50.0%", "+1,200.0%", None]


@pytest.mark.parametrize(("change", "colour"), [(0.5, "GREEN"), (-0.5, "RED")])
def test_a_falling_metric_is_red_and_a_rising_one_green(change: float, colour: str) -> None:
    script = f"import streamlit as st\nst.metric('Orders', '1', {format.percent(change)!r})"
    [metric] = AppTest.from_string(script).run().metric
    assert MetricProto.MetricColor.Name(metric.proto.color) == colour


def test_markdown_in_a_name_is_escaped() -> None:
    assert format.markdown("a_b *c* [d](e) $f$ :g: <h>") == r"a\_b \*c\* \[d\]\(e\) \$f\$ \:g\: \<h\>"


def test_a_segment_keeps_its_colour_beside_any_other() -> None:
    assert colours(["Germany", "France"], "light")[1] == colours(["France"], "light")[0]
    countries = ["United States", "Australia", "Canada", "United Kingdom", "France", "Germany", "Unknown"]
    assert len(set(colours(countries, "light"))) == 7
    assert len(set(colours(["Atlantis", "United States"], "dark"))) == 2


def linear(colour: str) -> Channels:
    channels = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize(("theme", "page"), [("light", "#FFFFFF"), ("dark", "#0E1117")])
def test_every_colour_contrasts_with_the_page(theme: Theme, page: str) -> None:
    """WCAG 2.1 (1.4.11) requires 3:1 for graphics."""

    def luminance(colour: str) -> float:
        return float(linear(colour) @ np.array([0.2126, 0.7152, 0.0722]))

    for colour in PALETTES[theme]:
        high, low = sorted((luminance(colour), luminance(page)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 3, colour


# Machado, Oliveira and Fernandes 2009, severity 1: linear colours as seen without one kind of cone.
SEEN = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "all": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}
_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@pytest.mark.parametrize("theme", list(PALETTES))
@pytest.mark.parametrize("cones", list(SEEN))
def test_any_two_colours_are_distinct(theme: Theme, cones: str) -> None:
    """Measured as the distance in OKLab (Ottosson 2020). About 0.02 is just noticeable side by side."""

    def place(colour: str) -> Channels:
        seen = np.clip(np.array(SEEN[cones]) @ linear(colour), 0, 1)
        return _TO_LAB @ np.cbrt(_TO_LMS @ seen)  # type: ignore[no-any-return]

    distances = {
        (one, other): float(np.linalg.norm(place(one) - place(other)))
        for one, other in itertools.combinations(PALETTES[theme], 2)
    }
    assert min(distances.values()) > 0.08, min(distances, key=lambda pair: distances[pair])
