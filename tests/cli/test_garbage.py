"""A long-lived command searches its objects for cycles as Python does by default; a short one seldom."""

import gc
from collections.abc import Iterator

import pytest

from adventure.cli import processing
from adventure.cli.garbage import collect_as_usual, collect_seldom
from adventure.core import stopping
from adventure.core.settings import Settings

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_a_long_lived_command_searches_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(stopping, "run_until_stopped", lambda run: seen.append(gc.get_threshold()))
    collect_as_usual()
    usual = gc.get_threshold()
    collect_seldom()
    assert gc.get_threshold() > usual
    processing.run_long_lived(Settings(), lambda stop: None)
    assert seen == [usual]
