"""The sales of yesterday and to date as one HTML page: a mail, or an A4 page in landscape when it is printed.

Plain tables with inline styles, because mail programs drop scripts and most style sheets. No Streamlit here.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd

from adventure.dashboard import format
from adventure.dashboard.format import markup
from adventure.dashboard.sales import metrics, notes, over_time, to_date
from adventure.dashboard.sales.scope import Scope
from adventure.destinations.published import Query

_DAYS = 14
"""How many days the chart shows."""
_PRODUCTS, _UNUSUAL = 5, 5
_STYLE = """
@page {size: A4 landscape; margin: 10mm}
@media print {.page {max-width: none !important; zoom: 0.7} h1 {margin-top: 0 !important}}
@media screen and (max-width: 640px) {
  .columns, .columns > tbody, .columns > tbody > tr, .column {display: block !important; width: 100% !important}
  .column {padding: 0 !important}
  td, th {font-size: 12px; padding-right: 6px !important}
}
"""
"""A phone shows the columns below each other. Mail programs keep media queries, where they keep style sheets."""
_UNBROKEN = 16
"""A name of so many characters is not broken into lines."""
_CELL = "padding:3px 10px 3px 0;vertical-align:top"
_BLUE = "#0058B8"


def title(now: datetime) -> str:
    """Return the title of the digest, which is also the subject of the mail."""
    return f"Sales of {format.day(now.date() - timedelta(days=1))}"


def digest(query: Query, now: datetime, concerns: str) -> str:
    """Return the page.

    Args:
        now: the current time, naive UTC.
        concerns: what is wrong with the figures; see `notice`.
    """
    today = now.date()
    bounds = metrics.bounds(query)
    if bounds is None:
        return _page(now, [_paragraph("There are no sales yet."), _paragraph(concerns)])
    yesterday = Scope(today - timedelta(days=1), today - timedelta(days=1))
    publication = metrics.publication(query)
    end = min(now, publication.data_as_of or now).replace(minute=0, second=0, microsecond=0)
    unusual = notes.unusual_days(query, Scope(today - timedelta(days=7), today))
    parts = [
        _paragraph(
            f"Data as of {format.moment(publication.data_as_of)}." if publication.data_as_of else "No live sales."
        ),
        _paragraph(concerns, "background:#FFF3CD;padding:8px 12px"),
        _columns(
            [
                _spans(query, end, now, bounds[0])
                + _list("Unusual days of the last week", [notes.sentence(day) for day in unusual[-_UNUSUAL:]]),
                _days(query, Scope(today - timedelta(days=_DAYS), yesterday.last), now),
            ]
        ),
        _columns([_countries(query, yesterday), _products(query, yesterday)]),
    ]
    return _page(now, parts)


def _spans(query: Query, end: datetime, now: datetime, earliest: date) -> str:
    whole = Scope(now.date(), now.date())
    revenue = to_date.to_date(query, whole, "revenue", end, now.date(), earliest)
    orders = to_date.to_date(query, whole, "orders", end, now.date(), earliest)
    rows = [
        [
            period,
            f"${amount:,.0f}",
            _change(change),
            _change(in_a_year),
            f"{count:,.0f}",
            _change(count_change),
        ]
        for (period, amount, change, in_a_year), (count, count_change) in zip(
            revenue[["period", "revenue", "change", "change_last_year"]].to_numpy().tolist(),
            orders[["orders", "change"]].to_numpy().tolist(),
            strict=True,
        )
    ]
    heads = ["", "Revenue", "Change", "In a year", "Orders", "Change"]
    if revenue["change_last_year"].isna().all():
        for row in (heads, *rows):
            del row[3]
    return _table(f"To date, until {format.clock(end)}", heads, rows)


def _days(query: Query, scope: Scope, now: datetime) -> str:
    """Return a bar for the revenue of each day."""
    found = over_time.series(query, scope, "country", "revenue", "day", now)
    sums: dict[Any, Decimal] = {} if found.empty else found.groupby("period")["value"].sum().to_dict()
    most = max(sums.values(), default=Decimal(0)) or Decimal(1)
    rows = "".join(
        f'<tr><td style="{_CELL};white-space:nowrap">{day:%a %d %b}</td>'
        f'<td style="width:100%;padding-right:8px">'
        f'<div style="background:{_BLUE};height:12px;width:{float(100 * value / most):.1f}%"></div></td>'
        f'<td style="{_CELL};text-align:right">{markup(format.money(value))}</td></tr>'
        for day, value in sums.items()
    )
    return f"<h2>Revenue of the last {_DAYS} days</h2><table style='border-collapse:collapse;width:100%'>{rows}</table>"


def _countries(query: Query, scope: Scope) -> str:
    wide = metrics.country_by_channel(query, scope, "revenue")
    rows = [(str(name), f"${row['Total']:,.0f}", f"{row['Share']:.1%}") for name, row in wide.iterrows()]
    return _table("Countries, yesterday", ("", "Revenue", "Share"), rows)


def _products(query: Query, scope: Scope) -> str:
    found = metrics.top_products(query, scope, "revenue", _PRODUCTS)
    rows = [
        (str(name), f"${amount:,.0f}", f"{units:,}")
        for name, amount, units in found[["product", "revenue", "units"]].to_numpy().tolist()
    ]
    return _table("Top products, yesterday", ("", "Revenue", "Units"), rows)


def _change(change: float) -> str:
    return "–" if pd.isna(change) else format.percent(change) or "–"


def _table(name: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def cells(tag: str, texts: Sequence[str], scope: str = "") -> str:
        first = f"{_CELL};white-space:nowrap" if len(texts[0]) <= _UNBROKEN else _CELL
        styles = [first, *[f"{_CELL};text-align:right;white-space:nowrap"] * (len(texts) - 1)]
        return "".join(
            f'<{tag}{scope} style="{style}">{markup(_short(text))}</{tag}>'
            for text, style in zip(texts, styles, strict=True)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows) or "<tr><td>No sales were read.</td></tr>"
    head = cells("th", heads, ' scope="col"')
    return f"<h2>{markup(name)}</h2><table style='border-collapse:collapse'><tr>{head}</tr>{body}</table>"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def _list(name: str, texts: Iterable[str]) -> str:
    items = "".join(f"<li>{markup(text)}</li>" for text in texts)
    return f"<h2>{markup(name)}</h2><ul>{items}</ul>" if items else ""


def _columns(parts: Sequence[str]) -> str:
    width = 100 // len(parts)
    style = f"width:{width}%;vertical-align:top;padding-right:24px"
    cells = "".join(f'<td class="column" style="{style}">{part}</td>' for part in parts)
    table = '<table class="columns" role="presentation" style="width:100%;border-collapse:collapse">'
    return f"{table}<tr>{cells}</tr></table>"


def _paragraph(text: str, style: str = "") -> str:
    return f'<p style="{style}">{markup(text)}</p>' if text else ""


def _page(now: datetime, parts: Sequence[str]) -> str:
    name = markup(title(now))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{name}</title>'
        f"<style>{_STYLE}</style></head>"
        '<body style="margin:0;background:#fff;color:#31333F;font:14px/1.4 Arial,sans-serif">'
        f'<div class="page" style="max-width:1000px;margin:0 auto;padding:16px"><h1>{name}</h1>{"".join(parts)}'
        "<p style='color:#595B66'>Days are calendar days in UTC. Money is in US dollars.</p></div></body></html>"
    )
