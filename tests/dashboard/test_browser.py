"""Both pages in a real browser, as a visitor meets them; without Debian's Chromium these tests are skipped, visibly."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import pytest

from adventure.dashboard.serve import environment, serve_command
from adventure.sandbox.process import free_port
from tests.dashboard.browser import ARGUMENTS, CHROMIUM, settled
from tests.dashboard.conftest import HOSTILE, Shop
from tests.e2e.test_demo import answer_within

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason=f"no {CHROMIUM}: apt-get install chromium"),
    pytest.mark.timeout(300),
]
AXE = Path(__file__).with_name("vendor") / "axe.min.js"


@pytest.fixture(scope="module")
def address(shop: Shop) -> Iterator[str]:
    settings = shop.reader.model_copy(update={"dashboard_port": free_port(None)})
    server = Popen(serve_command(settings), env=environment(settings), stdout=DEVNULL)
    url = f"http://127.0.0.1:{settings.dashboard_port}"
    try:
        answer_within(url, 60)
        yield url
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=shutil.which(CHROMIUM), args=ARGUMENTS)
        yield launched
        launched.close()


@dataclass
class Visit:
    """An open page, with what it asked for and what it complained of."""

    page: Any
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def settle(self) -> None:
        settled(self.page)

    def metric(self, label: str) -> str:
        """The figure on a card."""
        card = self.page.get_by_test_id("stMetric").filter(has_text=re.compile(rf"^{label}"))
        return str(card.first.get_by_test_id("stMetricValue").inner_text())

    def choose(self, label: str, option: str, place: int = 0) -> None:
        """Clicks an option of a segmented control."""
        group = self.page.get_by_role("radiogroup", name=label, exact=True)
        if not group.count():
            group = self.page.get_by_test_id("stButtonGroup").filter(has_text=label)
        group.nth(place).get_by_text(option, exact=True).click()
        self.settle()


@pytest.fixture(params=["light", "dark"])
def visit(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=request.param)
    made = Visit(context.new_page())
    made.page.on("request", lambda r: None if _is_here(r.url, address) else made.outside.append(r.url))
    made.page.on("console", lambda m: made.errors.append(m.text) if m.type == "error" else None)
    made.page.on("pageerror", lambda error: made.errors.append(str(error)))
    made.page.goto(address)
    made.settle()
    yield made
    context.close()
    assert made.outside == [], "a request left the host"
    assert made.errors == [], "the console shows errors"


def _is_here(url: str, address: str) -> bool:
    return url.startswith((address, address.replace("http", "ws"), "data:", "blob:"))


def accessible(visit: Visit) -> list[str]:
    """What axe finds wrong with contrast, names and roles."""
    visit.page.add_script_tag(path=AXE)
    found = visit.page.evaluate(
        "axe.run(document, {runOnly: ['color-contrast', 'button-name', 'label', 'link-name', 'image-alt']})"
    )
    return [f"{each['id']}: {node['html'][:200]}" for each in found["violations"] for node in each["nodes"]]


def test_both_pages_open_and_can_be_read(visit: Visit) -> None:
    assert visit.page.get_by_role("heading", name="Sales", exact=True).is_visible()
    assert accessible(visit) == []
    visit.page.get_by_role("link", name="Pipeline").click()
    visit.page.get_by_role("heading", name="Pipeline", exact=True).wait_for()
    visit.settle()
    assert visit.page.get_by_role("group", name="The flow").is_visible()
    assert accessible(visit) == []
    assert visit.page.title() != "owned", "a text field was run as a script"


@pytest.mark.parametrize("visit", ["light"], indirect=True)
def test_each_control_changes_what_is_shown_and_the_url(visit: Visit) -> None:
    month = visit.metric("Orders")
    visit.choose("Period", "7 days")
    assert visit.metric("Orders") != month
    assert "period=7d" in visit.page.url
    for label, option, query in (
        ("Measure", "Units", "measure=units"),
        ("One line for each", "Product category", "segment=category"),
        ("Grain", "Hour", "grain=hour"),
    ):
        visit.choose(label, option)
        assert query in visit.page.url
    assert visit.page.get_by_role("heading", name="Units by hour and product category").is_visible()
    address = visit.page.url
    week = visit.metric("Orders")
    visit.page.goto(address)
    visit.settle()
    assert visit.metric("Orders") == week
    assert visit.page.get_by_role("heading", name="Units by hour and product category").is_visible()


@pytest.mark.parametrize("visit", ["light"], indirect=True)
def test_controls_are_reached_by_keyboard(visit: Visit) -> None:
    reached = set()
    for _ in range(25):
        visit.page.keyboard.press("Tab")
        reached.add(visit.page.evaluate("(document.activeElement.innerText || document.activeElement.ariaLabel || '')"))
    assert {"30 days", "Custom"} <= {text.strip() for text in reached}


@pytest.mark.parametrize("visit", ["light"], indirect=True)
def test_new_sales_appear_without_a_restart(visit: Visit, shop: Shop) -> None:
    before = int(visit.metric("Orders").replace(",", ""))
    shop.sell()
    shop.move()
    visit.page.wait_for_function(
        "before => [...document.querySelectorAll('[data-testid=stMetric]')].some(card =>"
        " card.innerText.startsWith('Orders')"
        " && Number(card.innerText.match(/[\\d,]{2,}/)[0].replaceAll(',', '')) > before)",
        arg=before,
        timeout=60_000,
    )
    visit.settle()
    assert int(visit.metric("Orders").replace(",", "")) == before + shop.writer.order_batch_size


@pytest.mark.parametrize("visit", ["light"], indirect=True)
def test_a_hostile_value_is_shown_as_text(visit: Visit) -> None:
    visit.page.get_by_role("combobox").first.click()
    assert visit.page.get_by_role("option").filter(has_text=HOSTILE[:40]).count() == 1
    assert visit.page.locator("a[href='http://b']").count() == 0
    assert visit.page.title() != "owned"
