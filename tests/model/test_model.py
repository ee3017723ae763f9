"""The model keeps every promise in all its states, and each rule of the protocol is needed."""

import importlib
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from tests.model.protocol import Bounds, Rules
from tests.model.search import search
from tests.simulation.schedule import schedule

PAGE = Path("docs/model.md")
GUARANTEES = Path("docs/guarantees.md")

ALONE = Bounds(clock=3, writes=2, windows=2, crashes=1, restores=0)
TWO = replace(ALONE, processors=2)
RESTORED = replace(ALONE, restores=1)

# The rule that is taken out, the worlds that are searched, and the promise that breaks.
NEEDED = {
    "horizon_waits_for_transactions": (ALONE, "Every run converges"),
    "horizon_before_snapshot": (ALONE, "Every run converges"),
    "watermark_moves_last": (ALONE, "The watermark moves last"),
    "manifest_comes_last": (ALONE, "Files are complete or absent"),
    "watermark_is_compared": (TWO, "No committed row is missed"),
    "recovery_looks_at_the_files": (TWO, "Every run converges"),
    "load_asks_the_ledger": (ALONE, "Rows are loaded once"),
    "cleanup_asks_the_ledger": (ALONE, "Files are removed after the load"),
    "gaps_are_reported": (RESTORED, "Lost windows are reported"),
}

SEARCHED = {
    "one processor, two crashes": replace(ALONE, crashes=2),
    "one processor, a crash and a restore": RESTORED,
}
LONG = {
    "two processors, a crash": TWO,
    "more time, writes and windows": Bounds(clock=4, writes=3, windows=3, crashes=2, restores=0),
    "two processors and a restore": replace(TWO, crashes=0, restores=1),
}


@pytest.mark.parametrize(
    "bounds",
    [*SEARCHED.values(), *(pytest.param(bounds, marks=pytest.mark.slow) for bounds in LONG.values())],
    ids=[*SEARCHED, *LONG],
)
def test_every_state_keeps_every_promise(bounds: Bounds) -> None:
    found = search(bounds)
    print(f"{found.states:,} states, {found.depth} steps deep")
    assert found.promise is None, "\n".join((found.promise or "", *found.way))


@pytest.mark.parametrize("rule", NEEDED)
def test_each_rule_is_needed(rule: str) -> None:
    bounds, promise = NEEDED[rule]
    assert search(bounds, replace(Rules(), **{rule: False})).promise == promise


def test_each_rule_has_its_test() -> None:
    assert set(NEEDED) == {field.name for field in fields(Rules)}


def test_each_promise_is_one_of_the_guarantees() -> None:
    headings = set(re.findall(r"^### (.+)$", GUARANTEES.read_text(encoding="utf-8"), re.MULTILINE))
    assert {promise for _, promise in NEEDED.values()} <= headings


def test_the_guarantees_say_what_the_model_and_the_simulation_prove() -> None:
    rows = re.findall(
        r"^\| \[.*\]\(#([\w-]+)\) \| (✓?) \| (✓?) \|", GUARANTEES.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(rows) == 20
    simulated = {schedule(seed)[0].guarantee for seed in range(100)}
    simulated |= set(
        re.findall(r'Violation\(f"([\w ]+)', Path("tests/simulation/world.py").read_text(encoding="utf-8"))
    )
    assert {promise for promise, mark, _ in rows if mark} == set(map(_anchor, (name for _, name in NEEDED.values())))
    assert {promise for promise, _, mark in rows if mark} == set(map(_anchor, simulated))


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def test_the_page_names_code_that_exists() -> None:
    named = re.findall(r"`(adventure(?:\.\w+)+):([\w.]+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) >= 10
    for module, path in named:
        found = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)


def test_the_page_names_each_rule() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [field.name for field in fields(Rules) if f"`{field.name}`" not in text] == []
