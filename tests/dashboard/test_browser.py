"""All pages in a real browser. Without Chromium these tests are reported as skipped."""

import csv
import io
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import duckdb
import pandas as pd
import pytest

from adventure.core import heartbeat
from adventure.core.settings import Settings
from adventure.dashboard import exports
from adventure.dashboard.pipeline import state
from adventure.dashboard.sales import campaign_metrics, metrics, over_time
from adventure.dashboard.sales.digest import digest
from adventure.dashboard.sales.scope import Scope
from adventure.dashboard.serve import environment, serve_command
from adventure.demo.sandbox.process import free_port
from tests.dashboard.browser import ARGUMENTS, CHROMIUM, settled
from tests.dashboard.conftest import HOSTILE, Shop
from tests.e2e.test_demo import answer_within

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason=f"no {CHROMIUM}: apt-get install chromium"),
    pytest.mark.timeout(300),
]
AXE = Path(__file__).with_name("vendor") / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
EXCEPTIONS = {
    # By rule: text that a finding must contain to be ignored. Streamlit draws these, and has no option for them.
    "aria-allowed-attr": '<div aria-haspopup="true" aria-expanded="false">',  # around a button of a table's toolbar
    "summary-name": '<svg viewBox="0 0 16 16"',  # the menu of a chart, which saves it as an image
}
PROBES = re.compile(r"/(pipeline|sales|orders)/_stcore/(health|host-config)$")
"""Streamlit first takes a page's address for the address of the app (streamlit/streamlit#7074)."""


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Serve the dashboard on a free port, and yield its address."""
    settings = settings.model_copy(update={"dashboard_port": free_port(None)})
    server = Popen(serve_command(settings), env=environment(settings), stdout=DEVNULL)
    url = f"http://127.0.0.1:{settings.dashboard_port}"
    try:
        answer_within(url, 60)
        yield url
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def address(shop: Shop) -> Iterator[str]:
    with serving(shop.reader) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=shutil.which(CHROMIUM), args=ARGUMENTS)
        yield launched
        launched.close()


@dataclass
class Visit:
    """An open page, with its requests to other hosts and its console errors."""

    page: Any
    address: str
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, path: str = "") -> None:
        self.page.goto(f"{self.address}/{path}")
        self.settle()

    def settle(self) -> None:
        settled(self.page)

    def metric(self, label: str) -> str:
        """Return the value on a card."""
        card = self.page.get_by_test_id("stMetric").filter(has_text=re.compile(rf"^{label}"))
        return str(card.first.get_by_test_id("stMetricValue").inner_text())

    def control(self, name: str) -> Any:
        """Return a control by its name in the URL."""
        return self.page.locator(f".st-key-{name}")

    def choose(self, name: str, option: str) -> None:
        """Click an option of a segmented control."""
        self.control(name).get_by_text(option, exact=True).click()
        self.settle()

    def pick(self, name: str, option: str) -> None:
        """Add an option to a multiple choice."""
        box = self.control(name).get_by_role("combobox")
        # After 1.51 a page that still scrolls closes the options: a person clicks when it stands.
        box.scroll_into_view_if_needed()
        self.settle()
        box.click()
        self.page.get_by_role("option", name=option, exact=True).click()
        # After 1.51 the options stay, and hide all other controls from screen readers.
        if self.page.get_by_role("option").count():
            self.page.keyboard.press("Escape")
        self.settle()

    def heading(self, text: str) -> bool:
        return bool(self.page.get_by_role("heading", name=text, exact=True).is_visible())

    def files(self) -> list[str]:
        """Return the names of all downloads, without extension. Opens all expanders and data tables."""
        folded = self.page.locator("[data-testid=stExpander] details:not([open]) > summary")
        while folded.count():
            folded.first.click()
        for switch in self.page.get_by_text("Data table", exact=True).all():
            switch.click()
            self.settle()
        found = self.page.evaluate(
            "() => [...document.querySelectorAll('[class*=st-key-download-]')]"
            ".map(element => element.className.match(/st-key-download-(\\S+)/)[1])"
        )
        return list(found)

    def saved(self, name: str, filters: str = "") -> list[dict[str, str]]:
        """Download a CSV file and return its rows. Its name ends with the filters."""
        with self.page.expect_download() as waiting:
            self.control(f"download-{name}").get_by_role("button").click()
        assert re.match(rf"{name}(_\d{{4}}-\d\d-\d\d){{0,2}}{filters}\.csv$", waiting.value.suggested_filename)
        return rows_of(Path(waiting.value.path()).read_text(encoding="utf-8"))

    def table(self, name: str) -> list[dict[str, str]] | None:
        """Return the visible rows of the table above that download; None if there is a chart instead."""
        above = self.control(f"download-{name}").locator("xpath=preceding-sibling::*[1]")
        above.scroll_into_view_if_needed()
        if above.locator(".texts").count():
            found: list[dict[str, str]] = above.evaluate(
                "element => [...element.querySelectorAll('tbody')].map(body => Object.fromEntries("
                "[...body.querySelectorAll('[data-column]')].map(cell => [cell.dataset.column, cell.textContent])))"
            )
            return found
        is_table = "st-key-table-" in above.get_attribute("class") or above.get_by_test_id("stDataFrame").count()
        if not is_table:
            return None
        # Drawn after scrolling into view; after 1.51 only then, which takes seconds on a busy machine.
        above.locator("[role=gridcell]").first.wait_for(state="attached")
        self.page.wait_for_timeout(150)
        rows = above.evaluate(
            "element => [...element.querySelectorAll('tr')].map(row =>"
            " [...row.querySelectorAll('[role=gridcell], [role=columnheader]')].map(cell => cell.textContent))"
        )
        return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def written(frame: pd.DataFrame) -> list[dict[str, str]]:
    """Return the frame as rows of its CSV file."""
    return rows_of(exports.to_csv(frame).decode())


def same(shown: str, saved: str, header: str) -> bool:
    """Return whether a table cell shows the value in the file. Tables have whole dollars, and shares as percentages."""
    try:
        number = float(shown.replace("−", "-").translate(str.maketrans("", "", "$,%")))
        scale = 100 if header in ("Share", "Rate", "change", "progress", "change_last_year") else 1
        last_digit = 0.1 ** len(shown.rstrip("%").partition(".")[2])
        tolerance = 0.5 if scale == 1 and number.is_integer() else max(1e-4, 0.501 * last_digit)
        return number == pytest.approx(float(Decimal(saved) * scale), rel=1e-9, abs=tolerance)
    except (ValueError, InvalidOperation):
        if header.endswith("(UTC)"):
            return saved.startswith(shown)
        if header == "rating":
            return shown.endswith(f" {saved}")
        return ("" if shown == "–" else shown) == saved


@pytest.fixture
def visit(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Visit]:
    """Open the Sales page, in the light scheme unless the test asks for another."""
    scheme = getattr(request, "param", "light")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    made = Visit(context.new_page(), address)
    made.page.on("request", lambda r: None if _is_here(r.url, address) else made.outside.append(r.url))
    made.page.on("console", lambda m: made.errors.append(m.text) if _is_error(m) else None)
    made.page.on("pageerror", lambda error: made.errors.append(str(error)))
    made.open()
    yield made
    context.close()
    assert made.outside == [], "a request left the host"
    assert made.errors == [], "the console shows errors"


both_schemes = pytest.mark.parametrize("visit", ["light", "dark"], indirect=True)


def _is_here(url: str, address: str) -> bool:
    return url.startswith((address, address.replace("http", "ws"), "data:", "blob:"))


def _is_error(message: Any) -> bool:
    return message.type == "error" and not PROBES.search(message.location["url"])


def inaccessible(visit: Visit) -> list[str]:
    """Return axe's findings by all rules of WCAG 2.2, A and AA, except EXCEPTIONS."""
    visit.page.add_script_tag(path=AXE)
    found = visit.page.evaluate("tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", RULES)
    wrong = [(each["id"], node["html"]) for each in found["violations"] for node in each["nodes"]]
    return [f"{rule}: {html[:300]}" for rule, html in wrong if EXCEPTIONS.get(rule, html + "?") not in html]


def last_30_days(**chosen: Any) -> Scope:
    today = datetime.now(UTC).date()
    return Scope(today - timedelta(days=29), today, **chosen)


@both_schemes
def test_all_pages_are_accessible(visit: Visit) -> None:
    assert visit.heading("Sales")
    visit.files()  # opens all expanders and data tables
    assert inaccessible(visit) == []
    visit.open("orders?state=California&list=lines")
    assert visit.heading("Orders")
    visit.files()
    assert inaccessible(visit) == []
    visit.page.get_by_role("link", name="Pipeline").click()
    visit.page.get_by_role("heading", name="Pipeline", exact=True).wait_for()
    visit.settle()
    assert visit.page.get_by_role("group", name="Pipeline flow").is_visible()
    visit.files()
    assert inaccessible(visit) == []
    assert visit.page.title() != "owned", "a text field was run as a script"


@pytest.mark.parametrize(
    ("path", "heading"), [("", "Sales"), ("sales", "Sales"), ("orders", "Orders"), ("pipeline", "Pipeline")]
)
def test_a_page_opened_by_its_url_logs_no_console_error(visit: Visit, path: str, heading: str) -> None:
    visit.open(path)
    assert visit.heading(heading)


def test_each_control_changes_the_page_and_the_url(visit: Visit) -> None:
    month = visit.metric("Orders")
    visit.choose("period", "7 days")
    assert visit.metric("Orders") != month
    assert "period=7d" in visit.page.url
    for name, option, query in (
        ("measure", "Units", "measure=units"),
        ("segment", "Product category", "segment=category"),
        ("grain", "Hour", "grain=hour"),
    ):
        visit.choose(name, option)
        assert query in visit.page.url
    assert visit.heading("Units by hour and product category")
    address = visit.page.url
    week = visit.metric("Orders")
    visit.page.goto(address)
    visit.settle()
    assert visit.metric("Orders") == week
    assert visit.heading("Units by hour and product category")


def test_a_choice_replaces_what_a_link_did_not_say_clearly(visit: Visit) -> None:
    visit.open("sales?period=7&country=Atlantis")
    assert visit.page.get_by_text("This link asks for period “7”").is_visible()
    assert "/sales?period=7&country=Atlantis" in visit.page.url
    visit.choose("period", "90 days")
    assert "period=90d" in visit.page.url
    assert "country=Atlantis" in visit.page.url
    visit.pick("country", "France")
    assert "Atlantis" not in visit.page.url
    assert not visit.page.get_by_text("This link asks").count()


def test_every_period_has_a_chart(visit: Visit) -> None:
    """Also after a change to a period with other grains."""
    for option, grain in {
        "3 days": "hour", "90 days": "day", "Year": "week", "7 days": "day", "All": "month", "Custom": "day",
    }.items():  # fmt: skip
        visit.choose("period", option)
        assert visit.heading(f"Revenue by {grain} and country"), option
        assert visit.page.get_by_role("heading", name="Campaign conversion").is_visible(), option


@pytest.mark.parametrize(("name", "option"), [("country", "France"), ("channel", "reseller")])
def test_a_filter_shows_only_matching_sales(visit: Visit, shop: Shop, name: str, option: str) -> None:
    visit.pick(name, option)
    assert f"{name}={option}" in visit.page.url
    scope = last_30_days(**{"countries" if name == "country" else "channels": (option,)})
    wanted = metrics.total(shop.sales.query, scope)
    assert visit.metric("Orders") == f"{wanted.orders:,}"
    assert visit.metric("Customers") == f"{wanted.customers:,}"
    if name == "country":
        [row] = visit.table("revenue-by-country-and-channel") or []
        assert row["Country"] == option
    visit.control(name).get_by_role("button", name=re.compile("clear", re.I)).first.click()
    visit.settle()
    assert visit.metric("Orders") == f"{metrics.total(shop.sales.query, last_30_days()).orders:,}"


def test_a_click_on_a_table_filters_and_the_path_leads_back(visit: Visit) -> None:
    """From all sales to one channel of one country, and back a step at a time."""
    grid = visit.control("download-revenue-by-country-and-channel").locator("xpath=preceding-sibling::*[1]")
    grid.scroll_into_view_if_needed()
    rows = visit.table("revenue-by-country-and-channel") or []
    place = next(number for number, row in enumerate(rows) if row["Country"] == "France")
    grid.get_by_test_id("stDataFrame").click(position={"x": 17, "y": 35 * (place + 1) + 17})
    visit.page.wait_for_url("**country=France**")
    visit.settle()
    rows = visit.table("revenue-by-country-and-channel") or []
    assert [row["Country"] for row in rows] == ["France"]
    visit.pick("channel", "online")
    visit.control("crumb-country").get_by_role("button").click()
    visit.settle()
    assert "country=France" in visit.page.url
    assert "channel=" not in visit.page.url
    visit.control("crumb-all").get_by_role("button").click()
    visit.settle()
    assert "country=" not in visit.page.url


def test_a_click_on_a_bar_filters_by_it(visit: Visit, shop: Shop) -> None:
    """Twice the same bar: the chart that comes back has nothing chosen. All else of the view stays."""
    visit.open("?period=7d&measure=orders&market=units")
    # A country whose orders did not change has a bar without a width.
    bars = "path[aria-label*='segment: {}']:not([aria-label*='change: 0;'])"
    visit.page.locator("path[aria-label*='segment: France']").wait_for(state="attached")
    countries = ("France", "Germany", "Canada", "Australia")
    country = next(name for name in countries if visit.page.locator(bars.format(name)).count())
    for _ in range(2):
        # On a busy machine a chart is drawn, and takes no click yet.
        settled(visit.page, quiet_ms=2000)
        visit.page.locator(bars.format(country)).click()
        visit.page.wait_for_url(f"**country={country}**")
        visit.settle()
        assert {"period=7d", "measure=orders", "market=units"} <= set(re.split("[?&]", visit.page.url))
        today = last_30_days().last
        wanted = metrics.total(shop.sales.query, Scope(today - timedelta(6), today, (country,)))
        assert visit.metric("Orders") == f"{wanted.orders:,}"
        visit.control("crumb-all").get_by_role("button").click()
        visit.settle()
        assert "country=" not in visit.page.url


def test_an_open_data_table_follows_the_chart(visit: Visit) -> None:
    """A click opens it, and it stays open with the rows of the measure, the grain and the period that are chosen."""
    assert not visit.control("download-revenue-by-country-and-day").count()
    visit.page.get_by_text("Data table", exact=True).first.click()
    visit.settle()
    assert visit.table("revenue-by-country-and-day")
    visit.choose("measure", "Units")
    visit.choose("period", "Year")
    rows, saved = visit.table("units-by-country-and-week"), visit.saved("units-by-country-and-week")
    assert rows
    assert len(saved) == 53
    assert rows[0]["Period (UTC)"] == saved[0]["Period (UTC)"]


def test_a_ticked_row_of_a_data_table_shows_its_orders(visit: Visit) -> None:
    visit.page.get_by_text("Data table", exact=True).first.click()
    visit.settle()
    [first, *_] = visit.table("revenue-by-country-and-day") or []
    grid = visit.control("download-revenue-by-country-and-day").locator("xpath=preceding-sibling::*[1]")
    grid.get_by_test_id("stDataFrame").click(position={"x": 17, "y": 35 + 17})
    visit.page.get_by_role("heading", name="Orders", exact=True).wait_for()
    visit.settle()
    day = first["Period (UTC)"]
    assert {f"from={day}", f"to={day}"} <= set(re.split("[?&]", visit.page.url))


def test_a_click_on_a_bar_without_a_filter_shows_its_orders(visit: Visit) -> None:
    visit.open("?period=7d&segment=category")
    visit.page.locator("path[aria-label*='segment: Bikes']").click()
    visit.page.get_by_role("heading", name="Orders", exact=True).wait_for()
    visit.settle()
    assert {"period=7d", "category=Bikes"} <= set(re.split("[?&]", visit.page.url))
    assert visit.control("path").get_by_text("Bikes").is_visible()


def test_more_filters_stay_open_when_another_filter_changes(visit: Visit) -> None:
    """The path of the country is above them."""
    visit.open("orders?period=90d")
    visit.page.get_by_text("More filters").click()
    visit.pick("country", "France")
    assert visit.control("crumb-all").is_visible()
    visit.pick("loyalty", "first-time")
    assert {"country=France", "loyalty=first-time"} <= set(re.split("[?&]", visit.page.url))


def test_a_view_keeps_its_name_and_all_that_is_shown(visit: Visit) -> None:
    """The dialog opens by keyboard, and the link that it shows opens the same page of the list."""
    visit.open("orders?period=90d&list=lines")
    visit.control("older").get_by_role("button").click()
    visit.settle()
    shown = visit.page.get_by_text("Page 2 of ").inner_text()
    visit.control("views").get_by_role("button").press("Enter")
    box = visit.page.get_by_role("dialog").get_by_role("textbox")
    box.fill("Lines, second page")
    box.press("Enter")
    visit.settle()
    link = visit.page.get_by_role("dialog").get_by_test_id("stCode").first.inner_text()
    assert inaccessible(visit) == []
    visit.page.goto(link)
    visit.settle()
    assert visit.page.title() == "Lines, second page · Adventure"
    assert {"page=2", "list=lines", "period=90d"} <= set(re.split("[?&]", visit.page.url))
    assert visit.page.get_by_text("Page 2 of ").inner_text() == shown


def test_from_a_figure_to_its_orders_and_their_lines_by_keyboard(visit: Visit, shop: Shop) -> None:
    visit.open("?period=90d&country=France")
    sold = visit.metric("Orders")
    button = visit.control("to-orders").get_by_role("button")
    button.focus()
    button.press("Enter")
    visit.page.get_by_role("heading", name="Orders", exact=True).wait_for()
    visit.settle()
    assert visit.metric("Orders") == sold
    assert "/orders?" in visit.page.url
    assert {"period=90d", "country=France"} <= set(re.split("[?&]", visit.page.url))
    saved = visit.saved("orders", "_france")
    assert f"{len(saved):,}" == sold
    search = visit.control("search").get_by_role("textbox")
    search.fill(saved[3]["Order"])
    search.press("Enter")
    visit.settle()
    assert visit.metric("Orders") == "1"
    visit.choose("list", "Order lines")
    lines = visit.saved("lines", f"_france_{saved[3]['Order'].lower()}")
    assert {line["Order"] for line in lines} == {saved[3]["Order"]}
    assert sum(Decimal(line["Revenue (USD)"]) for line in lines) == Decimal(saved[3]["Revenue (USD)"])
    assert {f"search={saved[3]['Order']}", "list=lines"} <= set(re.split("[?&]", visit.page.url))


def test_a_ticked_product_shows_its_orders(visit: Visit, shop: Shop) -> None:
    visit.open("?from=2013-03-01&to=2013-03-31")
    [first, *_] = visit.table("top-products-by-revenue") or []
    grid = visit.control("download-top-products-by-revenue").locator("xpath=preceding-sibling::*[1]")
    grid.get_by_test_id("stDataFrame").click(position={"x": 17, "y": 35 + 17})
    visit.page.get_by_role("heading", name="Orders", exact=True).wait_for()
    visit.settle()
    assert {"from=2013-03-01", "to=2013-03-31"} <= set(re.split("[?&]", visit.page.url))
    assert visit.page.title() != "owned"
    assert visit.metric("Orders") == f"{int(first['Orders']):,}"
    visit.page.locator("[class*=st-key-table-orders]").scroll_into_view_if_needed()
    orders = visit.page.locator("[class*=st-key-table-orders]").get_by_test_id("stDataFrame")
    orders.click(position={"x": 17, "y": 35 + 17})
    visit.page.wait_for_url("**list=lines**")
    visit.settle()
    assert visit.metric("Orders") == "1"


@pytest.mark.parametrize("query", ["", "?period=90d&country=France"])
def test_the_sales_page_prints_on_one_sheet_of_a4(visit: Visit, query: str) -> None:
    visit.open(query)
    assert_one_sheet(visit.page)


def assert_one_sheet(page: Any) -> None:
    printed = page.pdf(prefer_css_page_size=True)
    assert printed.count(b"/Type /Page\n") == 1
    assert re.findall(rb"/MediaBox \[0 0 (\d+)[.\d]* (\d+)", printed) == [(b"841", b"594")]


def test_a_phone_shows_the_pages_on_the_page_and_no_second_menu(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 390, "height": 900})
    visit.settle()
    assert not visit.page.get_by_test_id("stExpandSidebarButton").locator("visible=true").count()
    visit.control("pages").get_by_role("link", name="Orders").click()
    visit.page.get_by_role("heading", name="Orders", exact=True).wait_for()
    visit.settle()
    assert visit.page.evaluate("document.documentElement.scrollWidth") == 390
    assert inaccessible(visit) == []


def test_the_digest_fits_a_phone_and_prints_on_one_sheet(browser: Any, shop: Shop) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.set_content(digest(shop.sales.query, datetime.now(UTC).replace(tzinfo=None), ""))
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert_one_sheet(page)
    page.close()


def test_a_page_with_a_warning_and_five_unusual_days_prints_on_one_sheet(
    browser: Any, shop: Shop, tmp_path: Path
) -> None:
    """The published copy has no report, and was built long ago."""
    settings = shop.reader.model_copy(update={"data_dir": tmp_path})
    shutil.copy(shop.reader.published_path, settings.published_path)
    with duckdb.connect(str(settings.published_path)) as connection:
        connection.execute("update publication set built_at = built_at - interval 2 day")
        connection.execute(
            "update order_bands_by_day set is_unusual = dimension = 'all' and order_day between current_date - 6 and"
            " current_date - 2"
        )
    with serving(settings) as url:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.goto(url)
        settled(page)
        assert page.get_by_text("longer than expected").is_visible()
        assert page.get_by_text("▼").first.inner_text().count("▼") == 5
        assert_one_sheet(page)
        page.context.close()


def test_any_days_can_be_chosen(visit: Visit, shop: Shop) -> None:
    visit.choose("period", "Custom")
    days = visit.control("days")
    if days.get_by_role("textbox").count():
        days.get_by_role("textbox").fill("2013-03-01 – 2013-03-31")
    else:  # After 1.51 year, month and day are fields of their own.
        texts = ["2013", "03", "01", "2013", "03", "31"]
        for part, text in zip(days.get_by_role("spinbutton").all(), texts, strict=True):
            part.press_sequentially(text)
    # After 1.51 the page takes the days when the field is left.
    for key in ("Enter", "Escape"):
        visit.page.keyboard.press(key)
    visit.settle()
    assert "from=2013-03-01&to=2013-03-31" in visit.page.url
    wanted = metrics.total(shop.sales.query, Scope(date(2013, 3, 1), date(2013, 3, 31)))
    assert visit.metric("Orders") == f"{wanted.orders:,}"
    assert visit.page.get_by_text("1 March 2013 – 31 March 2013").first.is_visible()


@pytest.mark.parametrize(
    ("name", "table"),
    [("market", "{measure}-by-country-and-channel"), ("top", "top-products-by-{measure}")],
)
def test_a_table_shows_the_selected_measure(visit: Visit, shop: Shop, name: str, table: str) -> None:
    for option in ("Units", "Orders"):
        visit.choose(name, option)
        measure = option.lower()
        assert f"{name}={measure}" in visit.page.url
        rows = visit.table(table.format(measure=measure))
        assert rows
        if name == "market":
            wide = metrics.country_by_channel(shop.sales.query, last_30_days(), measure)  # type: ignore[arg-type]
            assert [float(row["Total"]) for row in rows] == [float(value) for value in wide["Total"]]
        else:
            best = metrics.top_products(shop.sales.query, last_30_days(), measure)  # type: ignore[arg-type]
            assert [int(row[option]) for row in rows] == list(best[measure])


# The content of the files below charts.
CHARTS: dict[str, Callable[..., Any]] = {
    "headlines-over-time": lambda ask, scope, today: (
        over_time.sparkline(ask, scope, today).rename_axis("period").reset_index()
    ),
    "change-of-revenue-by-country": lambda ask, scope, today: exports.in_dollars(
        metrics.contributions(ask, scope, "country", "revenue", today), ("now", "before", "change")
    ).rename(columns={"segment": "Country"}),
    "campaign-funnel": lambda ask, scope, _: campaign_metrics.funnel(campaign_metrics.campaigns(ask, scope)),
    "rows-per-cycle": lambda ask, *_: state.cycles(ask),
    "lateness": lambda ask, *_: state.lateness(ask),
}
MARCH = Scope(date(2013, 3, 1), date(2013, 3, 31))
SALES_FILES = {
    "headlines-over-time", "revenue-to-date", "revenue-by-country-and-day", "change-of-revenue-by-country",
    "revenue-by-country-and-channel", "top-products-by-revenue",
}  # fmt: skip
DOWNLOADS = {
    "": SALES_FILES | {"chats-beside-orders"},
    "?period=custom&from=2013-03-01&to=2013-03-31": SALES_FILES | {"campaigns", "campaign-funnel"},
    "pipeline": {"tasks", "rows-per-cycle", "rejected-reasons", "rejected-rows"},
}


@pytest.mark.parametrize("path", list(DOWNLOADS))
def test_every_file_matches_the_page(visit: Visit, shop: Shop, path: str) -> None:
    visit.open(path)
    names = visit.files()
    assert DOWNLOADS[path] <= set(names)
    for name in names:
        saved, shown = visit.saved(name), visit.table(name)
        if shown is None:
            ask = (shop.report if path == "pipeline" else shop.sales).query
            scope = MARCH if "2013" in path else last_30_days()
            assert saved == written(CHARTS[name](ask, scope, last_30_days().last)), name
            continue
        assert shown, name
        if path == "pipeline":
            assert len(shown) == len(saved), name
            continue
        for row, line in zip(shown, saved, strict=False):
            pairs = list(zip(row.items(), line.values(), strict=False))
            assert [(header, a, b) for (header, a), b in pairs if not same(a, b, header)] == [], name


def test_every_file_of_a_filtered_page_says_so(visit: Visit) -> None:
    visit.open("?country=France")
    names = visit.files()
    assert set(names) >= SALES_FILES
    for name in names:
        visit.saved(name, "_france")


def test_a_saved_chart_says_what_it_shows(visit: Visit) -> None:
    # No scrolling between the pointer's arrival on a chart, which shows its buttons, and the click.
    visit.page.set_viewport_size({"width": 1280, "height": 3000})
    visit.pick("country", "France")
    charts = visit.page.get_by_test_id("stVegaLiteChart")
    names = ["Revenue by day and country", "Change in revenue by country", "Orders and new chats"]
    days = last_30_days()
    for chart, name in zip(charts.all(), names, strict=False):
        for line in (name, f"{days.first.day} {days.first:%B %Y}", "France"):
            assert chart.get_by_text(line).first.is_visible(), (name, line)
        chart.hover()
        frame = chart.locator("xpath=ancestor::*[@data-testid='stFullScreenFrame'][1]")
        with visit.page.expect_download() as waiting:
            frame.get_by_role("button", name="Download as PNG").click()
        saved = Path(waiting.value.path()).read_bytes()
        assert saved.startswith(b"\x89PNG"), name
        assert len(saved) > 10_000, name
    assert not visit.page.get_by_role("button", name="Show data").locator("visible=true").count()


CONTROLS = ["period", "country", "channel", "pace", "measure", "segment", "grain", "market", "top"]


def test_every_control_works_by_keyboard(visit: Visit) -> None:
    reached: set[str] = set()
    for _ in range(400):
        visit.page.keyboard.press("Tab")
        reached |= set(
            visit.page.evaluate(
                "() => { const at = document.activeElement; const named = at.closest('[class*=st-key-]');"
                " return [named ? named.className.match(/st-key-(\\S+)/)[1] : '', at.tagName,"
                " at.innerText.split('\\n').pop()] }"
            )
        )
        if "BODY" in reached:
            break
    assert "BODY" in reached, "the page traps keyboard focus"
    assert {*CONTROLS, *(f"download-{name}" for name in SALES_FILES - {"revenue-by-country-and-day"})} <= reached
    assert {"Sales", "Pipeline", "CANVAS", "open-over-time"} <= reached, "pages, tables and data tables"
    for name, place, key, query in (
        ("period", 1, "Space", "period=7d"),
        ("measure", 2, "Enter", "measure=units"),
        ("segment", 1, "Space", "segment=channel"),
        ("grain", 1, "Enter", "grain=hour"),
        ("market", 1, "Space", "market=orders"),
        ("top", 1, "Enter", "top=orders"),
    ):
        visit.control(name).get_by_role("radiogroup").locator("button").nth(place).focus()
        visit.page.keyboard.press(key)
        visit.settle()
        assert query in visit.page.url
    for name in ("country", "channel"):
        visit.control(name).get_by_role("combobox").focus()
        for key in ("ArrowDown", "ArrowDown", "Enter", "Escape"):
            visit.page.keyboard.press(key)
        visit.settle()
        assert f"{name}=" in visit.page.url
    visit.control("open-over-time").locator("input").press("Space")
    visit.settle()
    assert visit.control("download-units-by-channel-and-hour").is_visible()


def test_new_sales_appear_without_a_restart(visit: Visit, shop: Shop) -> None:
    before = int(visit.metric("Orders").replace(",", ""))
    shop.sell()
    shop.run_pipeline()
    visit.page.wait_for_function(
        "before => [...document.querySelectorAll('[data-testid=stMetric]')].some(card =>"
        " card.innerText.startsWith('Orders')"
        " && Number(card.innerText.match(/[\\d,]{2,}/)[0].replaceAll(',', '')) > before)",
        arg=before,
        timeout=60_000,
    )
    visit.settle()
    assert int(visit.metric("Orders").replace(",", "")) == before + shop.writer.order_batch_size


def test_a_stopped_processor_shows_before_the_tasks_run_again(visit: Visit, shop: Shop) -> None:
    heartbeat.begin(shop.reader.processor_heartbeat, 600)
    try:
        heartbeat.beat()
        visit.open("pipeline")
        assert visit.page.get_by_text("the processor was last seen").is_visible()
        warning = visit.page.get_by_test_id("stAlertContentError").get_by_text("The processor stopped")
        assert not warning.is_visible()
        heartbeat.end()
        warning.wait_for(timeout=30_000)
        assert visit.page.get_by_text("Start adventure process").is_visible()
    finally:
        heartbeat.begin(None, 1)
        shop.reader.processor_heartbeat.unlink()


def test_a_hostile_value_is_escaped(visit: Visit) -> None:
    visit.page.get_by_role("combobox").first.click()
    assert visit.page.get_by_role("option").filter(has_text=HOSTILE[:40]).count() == 1
    assert visit.page.locator("a[href='http://b']").count() == 0
    assert visit.page.title() != "owned"
