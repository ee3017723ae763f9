"""Measure how long a visitor waits after changing a control, with a million live orders and the history.

It fills the raw tables by SQL, builds and publishes. Then it opens all pages and changes every control of the Sales
page to every value, for the last 30 days and for all history, and those of the Orders page. It measures each change

- in the app: from the change to the end of the script, with an empty cache (the first visitor after a publication) and
  with a full one;
- with --browser, in a headless Chromium: from the click to the last change of the page that can be seen, and to the
  last one of all, which is that of a table's copy for screen readers.

It prints every run and the slowest change of each kind. The goal is at most one second for every change. Before each
round it prints the load of the machine, and how long a fixed computation takes: a busy machine makes both slower.

    make bench-dashboard, or python -m benchmarks.dashboard [--orders 1000000] [--rounds 3] [--browser] [--json FILE]
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adventure.core.clock import utc_now
from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.dashboard.sales.orders import DIMENSIONS
from adventure.dashboard.serve import environment, serve_command
from adventure.demo.history import ensure_history
from adventure.demo.sandbox.process import free_port
from adventure.factory import open_warehouse
from benchmarks.build_growth import fill
from benchmarks.results import Results, add_argument

GOAL = 1.0


@dataclass(frozen=True)
class Change:
    """A control and its new value."""

    label: str
    """The control's label on the page."""
    key: str
    """The control's key in the app."""
    option: str
    """The value's label on the page."""
    value: str
    """The value in the app."""


PERIODS = [Change("Period", "period", option, value) for option, value in (
    ("3 days", "3d"), ("7 days", "7d"), ("90 days", "90d"), ("Year", "1y"), ("Custom", "custom"),
)]  # fmt: skip
MONTH = Change("Period", "period", "30 days", "30d")
ALL = Change("Period", "period", "All", "all")
COUNTRY = Change("Country", "country", "France", "France")
CHANNEL = Change("Channel", "channel", "online", "online")
WITHIN = [
    Change(label, key, option, value)
    for label, key, options in (
        ("One line for each", "segment", {"Channel": "channel", "Loyalty": "loyalty", "Product category": "category",
                                             "Campaign segment": "campaign", "Country": "country"}),
        ("Measure", "measure", {"Orders": "orders", "Units": "units", "Revenue": "revenue"}),
        ("Grain", "grain", {"Week": "week", "Day": "day", "Hour": "hour", "Month": "month", "Auto": "auto"}),
        ("Measure", "market", {"Orders": "orders", "Units": "units", "Revenue": "revenue"}),
        ("Ranked by", "top", {"Orders": "orders", "Units": "units", "Revenue": "revenue"}),
    )
    for option, value in options.items()
]  # fmt: skip


ORDERS = [
    *(each for each in (*PERIODS, MONTH) if each.value != "custom"),
    *(
        Change(label, key, option, value)
        for label, key, options in (
            (
                "Break down by",
                "by",
                {label: key for key, label in DIMENSIONS.items() if key != "state"} | {"State": "state"},
            ),
            ("Ranked by", "ranked", {"Orders": "orders", "Units": "units", "Revenue": "revenue"}),
            ("List", "list", {"Order lines": "lines", "Orders": "orders"}),
        )
        for option, value in options.items()
    ),
    COUNTRY,
    CHANNEL,
    # A second choice of the country removes it.
    COUNTRY,
    Change("State", "state", "California", "California"),
    Change("Search", "search", "bike", "bike"),
    Change("List", "list", "Order lines", "lines"),
    Change("Search", "search", "so9", "so9"),
    Change("Break down by", "by", "Product", "product"),
]
"""The changes on the Orders page, in an order that a visitor could follow."""
FILTERS = ("country", "channel", "state")


def changes() -> Iterator[tuple[str, Change]]:
    """Yield all changes in an order that a visitor could follow, each with the view that it is made in."""
    yield from (("30 days", each) for each in (*PERIODS, MONTH, *WITHIN, COUNTRY, CHANNEL) if each.value != "month")
    # The view of all history has neither hours nor days. The filters are still set and are reset here.
    yield from (("all", each) for each in (ALL, CHANNEL, COUNTRY, *WITHIN) if each.value not in ("hour", "day"))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--orders", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--browser", action="store_true", help="measure in Chromium as well")
    arguments.add_argument("--data", type=Path, help="folder for the warehouse; an existing one is reused")
    add_argument(arguments)
    options = arguments.parse_args()
    results = Results("dashboard")
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(data_dir=options.data or Path(folder))
        if not settings.published_path.exists():
            _publish(settings, options.orders)
        _in_the_app(settings, options.rounds, results)
        if options.browser:
            _in_chromium(settings, options.rounds, results)
    results.write(options.json)


def _publish(settings: Settings, orders: int) -> None:
    warehouse = open_warehouse(settings)
    ensure_history(settings)
    begun = time.monotonic()
    fill(settings, 0, orders, utc_now())
    warehouse.build(load_streams(settings))
    rows = warehouse.publish()
    warehouse.publish_report(load_streams(settings), interval=60)
    size = settings.published_path.stat().st_size / 1e6
    print(
        f"{orders:,} live orders: filled, built and published in {time.monotonic() - begun:.0f} s;"
        f" {rows:,} rows, {size:.1f} MB are published",
        flush=True,
    )


def _in_the_app(settings: Settings, rounds: int, results: Results) -> None:
    """Run the app in Streamlit's test harness, without a browser."""
    from streamlit.testing.v1 import AppTest

    from adventure import dashboard

    os.environ |= environment(settings)
    app = Path(dashboard.__file__).with_name("app.py")
    first = _timed(AppTest.from_file(str(app), default_timeout=60).run)
    print(f"The first page of a new server, which loads Streamlit's modules: {first:.2f} s", flush=True)
    for kept in (False, True):
        if kept:
            _round(app, kept=True)
        times: dict[str, list[float]] = {}
        for _ in range(rounds):
            _print_load()
            for name, seconds in _round(app, kept=kept):
                times.setdefault(name, []).append(seconds)
        _report(times, f"in the app, {'full cache' if kept else 'empty cache'}", results)


def _round(app: Path, *, kept: bool) -> list[tuple[str, float]]:
    """Open all pages, make every change once, and yield each action with its seconds."""
    from streamlit.testing.v1 import AppTest

    from adventure.dashboard import data

    took: list[tuple[str, float]] = []

    def run(name: str, test: Any) -> None:
        if not kept:
            data.forget()
        took.append((name, _timed(test.run)))
        if test.exception:
            raise RuntimeError(f"{name}: {test.exception[0].message}")

    sales = AppTest.from_file(str(app), default_timeout=60)
    run("opening Sales", sales)
    for view, change in changes():
        _set(sales, change)
        run(f"{view}: {_name(change)}", sales)
    orders = AppTest.from_string(
        "from adventure.dashboard.sales import orders_page\norders_page.show()", default_timeout=60
    )
    run("opening Orders", orders)
    for change in ORDERS:
        _set(orders, change)
        run(f"orders: {_name(change)}", orders)
    run("opening Pipeline", AppTest.from_string("from adventure.dashboard.pipeline import page\npage.show()"))
    return took


def _set(test: Any, change: Change) -> None:
    from tests.dashboard.harness import choose

    for control in test.button_group:
        choose(control, test.session_state[control.key])
    if change.key == "search":
        test.text_input(key=change.key).set_value(change.value)
    elif change.key in FILTERS:
        control = test.multiselect(key=change.key)
        control.set_value([] if control.value else [change.value])
    else:
        choose(test.button_group(key=change.key), change.value)


# Record when a change began, when its script ended, and when the page last changed: what can be seen (`last`), and the
# copy of a table for screen readers (`copied`), which the table writes into its canvas 0.2 s after it has drawn the
# rows. Drawing on a canvas changes no element. Ignore captions, whose ages update continuously.
_CLOCK = """
() => {
  const app = document.querySelector('[data-testid=stApp]');
  const clock = window.clock = {begun: null, ran: null, last: null, copied: null};
  const begin = () => { clock.begun = clock.last = clock.copied = performance.now(); clock.ran = null; };
  document.addEventListener('pointerdown', begin, true);
  for (const name of ['fillText', 'drawImage']) {
    const draw = CanvasRenderingContext2D.prototype[name];
    CanvasRenderingContext2D.prototype[name] = function (...given) {
      if (!this.canvas.isConnected || this.canvas.closest('[data-testid=stMain]')) clock.last = performance.now();
      return draw.apply(this, given);
    };
  }
  new MutationObserver(found => {
    for (const {target, type} of found) {
      const node = target.nodeType === 1 ? target : target.parentElement;
      if (!node?.closest('[data-testid=stMain]') || node.closest('[data-testid=stCaptionContainer]')) continue;
      const canvas = node.closest('canvas');
      clock[canvas && (canvas !== node || type === 'childList') ? 'copied' : 'last'] = performance.now();
    }
    if (found.some(({target, attributeName}) => target === app && attributeName === 'data-test-script-state')
        && app.dataset.testScriptState === 'notRunning') clock.ran = performance.now();
  }).observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
}
"""
# The page never shows a script that ends within one frame as running; then wait for two seconds without a change.
_SETTLED = """
document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'
    && performance.now() - Math.max(clock.last, clock.copied) > 500
    && (clock.ran !== null || performance.now() - clock.begun > 2000)
"""
_TAG = "[data-baseweb=tag], [data-tag]"
"""A chosen option of a multiple choice, in Streamlit 1.51 and after it."""
_TOOK = "[clock.last - clock.begun, Math.max(clock.last, clock.copied) - clock.begun].map(took => took / 1000)"
"""The seconds until the last change that can be seen, and until the last of all."""


def _in_chromium(settings: Settings, rounds: int, results: Results) -> None:
    """Measure from the click to the last change of the page that can be seen, and to the last one of all."""
    import shutil

    from playwright.sync_api import sync_playwright

    from tests.dashboard.browser import ARGUMENTS, CHROMIUM, settled

    if shutil.which(CHROMIUM) is None:
        print(f"Not measured in a browser: {CHROMIUM} is not installed")
        return
    with _serving(settings) as address, sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which(CHROMIUM), args=ARGUMENTS)
        times: dict[str, list[float]] = {}
        with_copies: dict[str, list[float]] = {}

        def measure(name: str) -> None:
            page.wait_for_function(_SETTLED, timeout=60_000, polling=50)
            for kept, took in zip((times, with_copies), page.evaluate(_TOOK), strict=True):
                kept.setdefault(name, []).append(took)

        for _ in range(rounds):
            _print_load()
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(address)
            settled(page)
            page.evaluate(_CLOCK)
            for view, change in changes():
                _click(page, change)
                measure(f"{view}: {_name(change)}")
            page.goto(f"{address}/orders")
            settled(page)
            page.get_by_text("More filters").click()
            page.evaluate(_CLOCK)
            for change in ORDERS:
                _click(page, change)
                measure(f"orders: {_name(change)}")
            page.close()
        browser.close()
    _report(times, "in Chromium, from the click to the last change that can be seen", results)
    _report(with_copies, "in Chromium, with the tables' copies for screen readers", results)


def _click(page: Any, change: Change) -> None:
    """Open popovers if needed; make the click or key press that changes the value last."""
    if page.get_by_role("option").count():  # After 1.51 the options stay open after a choice.
        page.keyboard.press("Escape")
        page.wait_for_timeout(500)
    control = page.locator(f".st-key-{change.key}")
    if change.key == "search":
        box = control.get_by_role("textbox")
        box.click()
        box.fill(change.value)
        page.evaluate("clock.begun = clock.last = clock.copied = performance.now(); clock.ran = null")
        box.press("Enter")
    elif change.key not in FILTERS:
        control.get_by_text(change.option, exact=True).click()
    elif control.locator(_TAG).count():
        control.locator(_TAG).locator("[role=presentation], button").first.click()
    else:
        # After 1.51 a page that still scrolls closes the options.
        control.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        control.get_by_role("combobox").click()
        page.get_by_role("option", name=change.value).click()


@contextmanager
def _serving(settings: Settings) -> Iterator[str]:
    from tests.e2e.test_demo import answer_within

    settings = settings.model_copy(update={"dashboard_port": free_port(None)})
    server = subprocess.Popen(serve_command(settings), env=environment(settings), stdout=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{settings.dashboard_port}"
        answer_within(address, 60)
        yield address
    finally:
        server.terminate()
        server.wait()


def _print_load() -> None:
    """Print the load of the machine, and the seconds of a computation that always does the same."""
    yardstick = _timed(lambda: sum(number * number for number in range(2_000_000)))
    print(f"Load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; the yardstick takes {yardstick:.2f} s", flush=True)


def _timed(run: Callable[[], object]) -> float:
    begun = time.monotonic()
    run()
    return time.monotonic() - begun


def _name(change: Change) -> str:
    return f"{change.label} ({change.key}) → {change.option}"


def _report(times: dict[str, list[float]], how: str, results: Results) -> None:
    """Print every run of every change, and add the slowest and the median change as figures."""
    print(f"Seconds {how}:")
    for name, runs in times.items():
        print(f"  {name}: {', '.join(f'{run:.2f}' for run in runs)}")
    slowest = max(times, key=lambda name: max(times[name]))
    results.add(f"slowest of {len(times)} changes, {how} ({slowest})", [max(times[slowest])], goal=GOAL)
    results.add(f"median change, {how}", [statistics.median(run) for run in times.values()])


if __name__ == "__main__":
    main()
