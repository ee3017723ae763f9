"""The Orders page: the orders and lines behind the figures, and their breakdown by any segment."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseError
from adventure.dashboard import controls, data, exports, format, late
from adventure.dashboard.layout import REFRESH_SEC, download, rerun_on_publish, show_empty, show_error, table
from adventure.dashboard.sales import drill, metrics, orders, views
from adventure.dashboard.sales.filters import FILTERS, ZONE, choose_scope
from adventure.dashboard.sales.orders import DIMENSIONS, Dimension, Selection
from adventure.destinations.published import PublishedDataset, Query, Version
from adventure.factory import open_sales

_CONTROLS = ("by", "ranked", "list", "search", "page", views.NAME)
_LISTS: dict[orders.List, str] = {"orders": "Orders", "lines": "Order lines"}
_PAGE = 25
_TURNED = "turned"
"""In the session: the list whose page was turned, and the page."""
_READY_ROWS = 2_000
"""A file with more rows is written when the user asks for it: writing it at each change would make the page slow."""


def page() -> Any:
    """Return the page, for links to it."""
    return st.Page(show, title="Orders", url_path="orders")


def show() -> None:
    """Draw the page."""
    dataset = open_sales()
    version = dataset.version()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.title("Orders", anchor=False, width="content")
        asked = version is not None and views.button()
    _watch(dataset, version)
    if version is None:
        show_empty("Nothing has been published yet. `adventure tasks run` loads, builds and publishes.")
        return
    try:
        query = data.cached_query(dataset, version)
        _show(query)
        if asked:
            views.dialog(query, "orders", knows_address=not dataset.is_metered)
    except WarehouseError as error:
        show_error(error)


@st.fragment(run_every=REFRESH_SEC)
def _watch(dataset: PublishedDataset, version: Version | None) -> None:
    """Rerun the page when newer data is published."""
    late.note_refresh()
    rerun_on_publish((dataset, version))


def _show(query: Query) -> None:
    controls.explain_names((*FILTERS, ZONE, *drill.MORE, *_CONTROLS, "from", "to"))
    selection = _choose(query)
    if selection is None:
        show_empty("The models contain no orders. `adventure status` shows how far each stream is.")
        return
    _show_path(selection.chosen)
    listed = orders.listed_from(query, selection.zone)
    if listed and selection.first < listed:
        st.info(
            f"This page lists the latest orders only: all from {format.day(listed)} on. The Sales page has the figures"
            " of earlier days.",
            icon=":material/history:",
        )
        selection = replace(selection, first=listed)
    found = orders.total(query, selection)
    if not found.orders:
        show_empty("No order matches. Choose another period, or remove a filter or the search.")
        return
    _cards(found, selection)
    with st.container(border=True):
        _breakdown(query, selection)
    with st.container(border=True):
        _list(query, selection, found)


def _choose(query: Query) -> Selection | None:
    """Show the filters and return what is chosen; None without sales."""
    scope = choose_scope(query, utc_now())
    if scope is None:
        return None
    is_open = any(st.query_params.get(name) for name in drill.MORE)
    with st.expander("More filters", expanded=is_open):
        places = [*st.columns(3), *st.columns(3)]
        more = {
            name: controls.multi_choice(place, DIMENSIONS[name], name, orders.options(query, name), "All")
            for place, name in zip(places, drill.MORE, strict=True)
        }
    controls.explain(*drill.MORE)
    search = controls.text("Search by order number, customer or product", "search")
    chosen: dict[Dimension, tuple[str, ...]] = {"country": scope.countries, "channel": scope.channels, **more}
    return Selection(scope.first, scope.last, scope.zone, chosen, search)


def _show_path(chosen: Mapping[Dimension, Any]) -> None:
    """Show the chosen values of this page's filters as a path. A click on one removes those that follow it."""
    row = st.container(horizontal=True, vertical_alignment="center", gap="small", key="path")
    steps = [name for name in drill.MORE if chosen[name]]
    if not steps:
        return
    row.button("All orders", type="tertiary", on_click=controls.reset, args=drill.MORE, key="path-all")
    for place, name in enumerate(steps):
        row.text("›", width="content")
        text = ", ".join(chosen[name])
        label = format.markdown(text if len(text) <= 60 else f"{text[:59]}…")
        if place + 1 < len(steps):
            row.button(
                label, type="tertiary", on_click=controls.reset, args=tuple(steps[place + 1 :]), key=f"path-{name}"
            )
        else:
            row.markdown(f"**{label}**", width="content")


def _cards(found: orders.Total, selection: Selection) -> None:
    cards = {
        "Revenue": format.money(found.revenue),
        "Orders": format.count(found.orders),
        "Average order": f"${found.revenue / found.orders:,.0f}",
        "Units": format.count(found.units),
    }
    row = st.container(key="headlines")
    for column, (label, value) in zip(row.columns(len(cards), gap="small"), cards.items(), strict=True):
        column.metric(label, value, border=True)
    shown = format.days(selection.first, selection.last)
    of = (
        " Amounts are those of the chosen products' lines." if selection.tables() == selection.tables("product") else ""
    )
    st.caption(f"{shown}, days and times in {format.markdown(selection.zone)}.{of}")


@st.fragment
def _breakdown(query: Query, selection: Selection) -> None:
    """Draw the selection by one dimension. A ticked row becomes a filter."""
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    by: Any = controls.choice(row, "Break down by", "by", DIMENSIONS, "state")
    measure: Any = controls.choice(row, "Ranked by", "ranked", metrics.MEASURES)
    controls.explain("by", "ranked")
    rows = orders.breakdown(query, selection, by, measure)
    others = [name for name in metrics.MEASURES if name != measure]
    rows = rows[["segment", measure, "share", *others]]
    shown = rows.assign(revenue=rows["revenue"].astype(float).round(), share=100 * rows["share"])
    number = st.column_config.NumberColumn
    columns: dict[str, Any] = {
        "segment": st.column_config.TextColumn(DIMENSIONS[by], width=165),
        "share": st.column_config.ProgressColumn("Share", format="%.1f%%", min_value=0, max_value=100, width=130),
        "revenue": number("Revenue", format="dollar", step=1),
        "orders": number("Orders", format="localized"),
        "units": number("Units", format="localized"),
    }
    values = list(rows["segment"])
    name = f"{measure}-by-{by}"
    table(
        shown,
        name,
        exact=rows.rename(columns={"segment": DIMENSIONS[by]}),
        columns=columns,
        file=_file(name, selection),
        on_pick=lambda place: controls.pick(by, [values[place]]),
    )
    st.caption("Tick a row to see it alone.")


@st.fragment
def _list(query: Query, selection: Selection, found: orders.Total) -> None:
    """Draw a page of the orders or of their lines. A ticked order shows its lines."""
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    of: Any = controls.choice(row, "List", "list", _LISTS)
    count = found.orders if of == "orders" else orders.count_lines(query, selection)
    place = _choose_page(row, selection, of, count)
    controls.explain("list", "page")
    rows = orders.rows(query, selection, of, _PAGE, place * _PAGE)
    numbers = list(rows["sales_order_number"])

    def pick(place: int) -> None:
        controls.pick("search", numbers[place])
        controls.pick("list", "lines")

    shown = rows.astype({name: float for name in ("revenue", "unit_price", "discount") if name in rows})
    if of == "lines":
        shown["discount"] *= 100
    columns = _columns(selection.zone)
    table(shown, of, columns=columns, save=False, on_pick=pick if of == "orders" else None)
    st.caption("Tick an order to see its lines." if of == "orders" else "Clear the search to see all orders again.")
    _save(query, selection, of, count)


def _choose_page(row: Any, selection: Selection, of: orders.List, count: int) -> int:
    """Show the buttons that turn the pages, and return the page, from 0. Another selection begins at its first."""
    pages, asked = max(-(-count // _PAGE), 1), f"{of} {selection}"
    if _TURNED not in st.session_state:
        st.session_state[_TURNED] = asked, controls.requested_number("page", pages) - 1
    turned, place = st.session_state[_TURNED]
    place = min(place, pages - 1) if turned == asked else 0
    if turned != asked:
        _turn(asked, 0)
    # On a phone the buttons stay side by side.
    row = row.container(horizontal=True, vertical_alignment="center", gap="small")
    for label, icon, target in (("Newer", "chevron_left", place - 1), ("Older", "chevron_right", place + 1)):
        row.button(
            label,
            icon=f":material/{icon}:",
            disabled=not 0 <= target < pages,
            on_click=_turn,
            args=(asked, target),
            key=label.lower(),
        )
    row.caption(f"Page {place + 1:,} of {pages:,}. {_LISTS[of]}: {count:,}", width="content")
    return place


def _turn(asked: str, place: int) -> None:
    """Show another page of the list, and keep its number in the URL."""
    controls.reset("page")
    st.session_state[_TURNED] = asked, place
    if place:
        controls.set_param("page", str(place + 1))


def _save(query: Query, selection: Selection, of: orders.List, count: int) -> None:
    """Show the button that downloads all orders or lines of the selection, on all pages."""
    name = _file(of, selection)
    label = f"Prepare the CSV of all {count:,} {_LISTS[of].lower()}"
    if count <= _READY_ROWS or st.button(label, icon=":material/download:", type="tertiary", key=f"prepare-{of}"):
        download(_exact(orders.rows(query, selection, of), selection.zone), of, name)


def _exact(rows: pd.DataFrame, zone: str) -> pd.DataFrame:
    return rows.rename(columns={"sales_order_number": "order", "order_date": f"Ordered ({zone})"})


def _file(name: str, selection: Selection) -> str:
    values = [value for chosen in selection.chosen.values() for value in chosen]
    values += [selection.search] if selection.search.strip() else []
    return exports.file_name(name, selection.first, selection.last, values)


def _columns(zone: str) -> dict[str, Any]:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    return {
        "sales_order_number": text("Order", width=90),
        "order_date": st.column_config.DatetimeColumn(f"Ordered ({zone})", format="YYYY-MM-DD HH:mm:ss", width=150),
        "customer": text("Customer", width=140),
        "customer_id": text("Customer id"),
        "product": text("Product", width=165),
        "revenue": number("Revenue", format="dollar"),
        "units": number("Units", format="localized"),
        "unit_price": number("Unit price", format="dollar"),
        "discount": number("Discount", format="%.0f%%"),
        "country": text("Country"),
        "state": text("State"),
        "channel": text("Channel"),
        "salesperson": text("Salesperson"),
        "loyalty": text("New or returning"),
        "customer_segment": text("Customer segment"),
        "category": text("Category"),
    }
