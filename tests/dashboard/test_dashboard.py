"""The dashboard's figures against plain sums, and the page as a visitor uses it."""

import os
import threading
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from subprocess import Popen
from threading import Thread

import duckdb
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from adventure import dashboard
from adventure.dashboard import figures, format, published
from adventure.dashboard.charts import colours, sales_chart
from adventure.errors import ConfigError
from adventure.sandbox.process import free_port
from adventure.settings import load_settings
from tests.e2e.test_demo import answer_within

TODAY = datetime.now(UTC).date()
APP = Path(dashboard.__file__).with_name("app.py")

Row = tuple[datetime, str, str, str, int, int, Decimal]


def hour(days_ago: int, of_day: int = 0) -> datetime:
    day = TODAY - timedelta(days=days_ago)
    return datetime(day.year, day.month, day.day, of_day)


ROWS: list[Row] = [
    (hour(0), "France", "online", "repeat", 1, 2, Decimal("10.10")),
    (hour(29), "France", "reseller", "repeat", 2, 30, Decimal("1000.005")),
    (hour(29, 23), "Canada", "online", "first-time", 1, 1, Decimal("0.01")),
    (hour(30, 23), "Canada", "online", "first-time", 4, 4, Decimal("400")),
    (hour(59), "Canada", "online", "repeat", 1, 1, Decimal("100")),
]


def publish(path: Path, rows: list[Row], built_at: datetime | None = None) -> None:
    """What the publish task writes, and as it does: beside the old one, then in its place."""
    unfinished = path.with_suffix(".new")
    with duckdb.connect(str(unfinished)) as connection:
        connection.execute(
            "create table sales_last_30_days (order_hour timestamp, country varchar, channel varchar, loyalty varchar,"
            " orders bigint, units bigint, revenue decimal(38, 9))"
        )
        if rows:
            connection.executemany("insert into sales_last_30_days values (?, ?, ?, ?, ?, ?, ?)", rows)
        moment = built_at or datetime.now(UTC).replace(tzinfo=None)
        connection.execute(
            "create table publication as select ?::timestamp as built_at, ?::timestamp as data_as_of", [moment, moment]
        )
    unfinished.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dashboard.duckdb"


def ask(path: Path) -> figures.Query:
    def query(statement: str, values: Sequence[object]) -> pd.DataFrame:
        return published.query(path, statement, values)

    return query


def test_the_last_30_days_and_the_30_before_meet_without_gap_or_overlap(path: Path) -> None:
    publish(path, ROWS)
    current, before = figures.compared(ask(path), TODAY)
    assert current == figures.Total(4, 33, Decimal("1010.115"))
    assert before == figures.Total(5, 5, Decimal("500"))
    assert current.average_order == Decimal("1010.115") / 4


def test_no_sales_are_zero_and_compare_to_nothing(path: Path) -> None:
    publish(path, [])
    current, before = figures.compared(ask(path), TODAY)
    assert current == before == figures.Total(0, 0, Decimal(0))
    assert (current.average_order, figures.change(current.orders, before.orders)) == (0, None)


@pytest.mark.parametrize(
    ("segment", "measure", "sums"),
    [
        ("country", "revenue", {"France": Decimal("1010.105"), "Canada": Decimal("0.01")}),
        ("channel", "orders", {"online": 2, "reseller": 2}),
        ("loyalty", "units", {"repeat": 32, "first-time": 1}),
    ],
)
def test_a_series_sums_up_to_its_segments(
    path: Path, segment: figures.Segment, measure: figures.Measure, sums: dict[str, Decimal]
) -> None:
    publish(path, ROWS)
    rows = figures.series(ask(path), segment, measure, TODAY, 30)
    assert rows.groupby("segment")["value"].sum().to_dict() == sums


def test_days_without_sales_are_zero_not_missing(path: Path) -> None:
    publish(path, ROWS)
    rows = figures.series(ask(path), "country", "orders", TODAY, 30)
    france = rows[rows["segment"] == "France"].set_index("period")["value"]
    assert len(france) == 30
    assert (france.iloc[0], france.iloc[-1], france.iloc[1:-1].sum()) == (2, 1, 0)


def test_a_few_days_are_shown_by_the_hour(path: Path) -> None:
    publish(path, [(hour(2, 3), "France", "online", "repeat", 1, 1, Decimal(1)), *ROWS[:1]])
    rows = figures.series(ask(path), "country", "orders", TODAY, 3)
    assert list(rows["period"].diff().dropna().unique()) == [pd.Timedelta(hours=1)]
    assert rows["value"].sum() == 2


def test_the_table_under_the_chart_holds_every_value_and_their_sum(path: Path) -> None:
    publish(path, ROWS)
    wide = figures.table(figures.series(ask(path), "country", "revenue", TODAY, 30))
    assert list(wide.columns) == ["France", "Canada", "Total"]
    assert wide["Total"].sum() == Decimal("1010.115")
    assert list(wide.iloc[-1]) == [Decimal("1000.005"), Decimal("0.01"), Decimal("1000.015")]


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "$ 0"), ("987.6", "$ 988"), ("12345", "$ 12.3 k"), ("4560000", "$ 4.56 M"), ("-12345", "$ -12.3 k")],
)
def test_money_for_people(amount: str, text: str) -> None:
    assert format.money(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "just now"), (59, "just now"), (60, "1 minute old"), (7300, "2 hours old"), (90000, "1 day old")],
)
def test_ages_for_people(seconds: int, text: str) -> None:
    now = datetime(2026, 1, 2)
    assert format.age(now - timedelta(seconds=seconds), now) == text


def test_a_segment_keeps_its_colour_whatever_stands_beside_it() -> None:
    assert colours(["Germany", "France"])[1] == colours(["France"])[0]
    assert len(set(colours(["United States", "Australia", "Canada", "United Kingdom", "France", "Germany"]))) == 6
    assert len(colours(["Atlantis", "United States"])) == 2


@pytest.fixture
def app(path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv(dashboard.PUBLISHED_PATH, str(path))
    monkeypatch.setenv(dashboard.STALE_AFTER_SEC, "7200")
    return AppTest.from_file(str(APP), default_timeout=30)


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def test_the_page_shows_the_figures(path: Path, app: AppTest) -> None:
    publish(path, ROWS)
    app.run()
    assert not app.exception
    assert metrics(app) == {"Revenue": "$ 1.0 k", "Orders": "4", "Average order": "$ 253", "Units": "33"}
    assert [metric.delta for metric in app.metric] == ["+102.0 %", "-20.0 %", "+152.5 %", "+560.0 %"]
    assert "Data as of" in app.caption[0].value
    assert float(app.dataframe[0].value["Total"].sum()) == pytest.approx(1010.115)


def test_a_choice_changes_the_table_and_the_url(path: Path, app: AppTest) -> None:
    publish(path, ROWS)
    app.run()
    app.radio(key="segment").set_value("channel")
    app.radio(key="measure").set_value("orders").run()
    assert not app.exception
    assert list(app.dataframe[0].value.columns) == ["online", "reseller", "Total"]
    assert app.dataframe[0].value["Total"].sum() == 4
    assert {name: app.query_params[name] for name in ("segment", "measure", "period")} == {
        "segment": ["channel"],
        "measure": ["orders"],
        "period": ["30 days"],
    }


@pytest.mark.parametrize(
    ("asked", "columns"), [("loyalty", ["repeat", "first-time", "Total"]), ("'; drop", ["France", "Canada", "Total"])]
)
def test_the_url_opens_the_view_it_names_and_what_it_says_wrongly_is_the_default(
    path: Path, app: AppTest, asked: str, columns: list[str]
) -> None:
    publish(path, ROWS)
    app.query_params["segment"] = asked
    app.run()
    assert list(app.dataframe[0].value.columns) == columns


def test_a_new_publication_is_shown_without_a_restart(path: Path, app: AppTest) -> None:
    publish(path, ROWS[:1])
    app.run()
    assert metrics(app)["Orders"] == "1"
    publish(path, ROWS)
    app.run()
    assert metrics(app)["Orders"] == "4"


def test_without_a_publication_the_page_says_what_to_do(app: AppTest) -> None:
    app.run()
    assert not app.exception
    assert "`adventure tasks run`" in app.info[0].value


def test_without_sales_the_page_says_so(path: Path, app: AppTest) -> None:
    publish(path, [])
    app.run()
    assert not app.exception
    assert "no sales within the last 30 days" in app.info[0].value


def test_an_old_publication_is_warned_of(path: Path, app: AppTest) -> None:
    publish(path, ROWS, built_at=datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=5))
    app.run()
    assert "built 5 hours ago" in app.warning[0].value


def test_a_publication_since_the_page_began_is_drawn_by_itself(
    path: Path, app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(path, ROWS[:1])
    whole, looks = published.identity, 0

    def identity(of: Path) -> tuple[int, int] | None:
        nonlocal looks
        looks += 1
        if looks == 2:
            publish(of, ROWS)
        return whole(of)

    monkeypatch.setattr(published, "identity", identity)
    app.run()
    assert metrics(app)["Orders"] == "4"


def test_a_publication_while_a_question_is_open_does_not_answer_with_the_old_one(path: Path) -> None:
    publish(path, ROWS[:1])
    count = "select sum(orders)::bigint as orders from sales_last_30_days"
    with published._ONE_AT_A_TIME, duckdb.connect(str(path), read_only=True) as open_question:
        asked = Thread(target=lambda: answers.append(published.query(path, count)["orders"][0]))
        answers: list[int] = []
        asked.start()
        publish(path, ROWS)
        assert open_question.execute(count).fetchone() == (1,)
    asked.join(30)
    assert answers == [9]


def test_times_are_written_as_utc_wherever_the_browser_is(path: Path) -> None:
    publish(path, ROWS)
    rows = figures.series(ask(path), "country", "revenue", TODAY, 30)
    # Streamlit has shifted the times for the browser already: a UTC scale would shift its labels once more.
    assert "utc" not in sales_chart(rows, "revenue", "day", TODAY).to_json().lower()


def test_hostile_names_are_shown_as_text(path: Path, app: AppTest) -> None:
    name = "<script>alert('x')</script> \"quoted\" [a.b] 🚲"
    publish(path, [(hour(1), name, "online", "repeat", 1, 1, Decimal(1))])
    app.run()
    assert not app.exception
    assert list(app.dataframe[0].value.columns) == [name, "Total"]


def test_it_is_served_on_loopback(path: Path) -> None:
    publish(path, ROWS)
    settings = load_settings(data_dir=path.parent, dashboard_port=free_port(None))
    server = Popen(dashboard.serve_command(settings), env=os.environ | {dashboard.PUBLISHED_PATH: str(path)})
    try:
        url = f"http://127.0.0.1:{settings.dashboard_port}"
        answer_within(url, 60)
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5) as response:
            assert response.read() == b"ok"
        with pytest.raises(ConfigError, match=rf"Port {settings.dashboard_port} is taken\. Set DASHBOARD_PORT"):
            dashboard.serve(settings, threading.Event())
    finally:
        server.terminate()
        server.wait()
