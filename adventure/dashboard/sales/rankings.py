"""The tables of countries by channels, and of the best-selling products."""

from typing import Any

import streamlit as st

from adventure.dashboard import controls
from adventure.dashboard.layout import table
from adventure.dashboard.sales import drill, metrics
from adventure.dashboard.sales.panel import LONG_NAME, NAME, Panel, number, share


@st.fragment
def markets(panel: Panel) -> None:
    """Draw the table of countries by channels, with each country's share."""
    row = st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute")
    row.subheader("Countries and channels", anchor=False, width="content")
    measure: Any = controls.choice(row, "Measure", "market", metrics.MEASURES, hidden=True)
    controls.explain("market")
    wide = metrics.country_by_channel(panel.query, panel.scope, measure).reset_index(names="country")
    wide = wide.rename(columns={"Total": "total", "Share": "share"})
    channels = [name for name in wide.columns if name not in ("country", "total", "share")]
    wide = wide[["country", "total", "share", *channels]]
    amounts = [*channels, "total"]
    shown = wide.astype(dict.fromkeys(amounts, float)).assign(share=100 * wide["share"])
    shown[amounts] = shown[amounts].round()
    description = panel.description("sales_by_hour", measure)
    columns: dict[str, Any] = {name: number(measure, name.capitalize(), description) for name in channels}
    columns["country"] = st.column_config.TextColumn("Country", width=NAME)
    columns["total"] = number(measure, "Total", description)
    columns["share"] = share("Share")
    name = f"{measure}-by-country-and-channel"
    countries = list(wide["country"])

    def pick(row: int) -> None:
        controls.pick("country", [countries[row]])

    exact = panel.exact(wide, measure, amounts)
    table(shown, name, exact=exact, columns=columns, file=panel.file(name), on_pick=pick)
    st.caption("Tick a country to see it alone.")


@st.fragment
def products(panel: Panel) -> None:
    """Draw the table of best-selling products."""
    row = st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute")
    row.subheader("Top products", anchor=False, width="content")
    measure: Any = controls.choice(row, "Ranked by", "top", metrics.MEASURES, hidden=True)
    controls.explain("top")
    rows = metrics.top_products(panel.query, panel.scope, measure)
    others = [name for name in metrics.MEASURES if name != measure]
    rows = rows[["product", measure, "share", *others, "category"]]
    shown = rows.assign(revenue=rows["revenue"].astype(float).round(), share=100 * rows["share"].fillna(0))
    columns: dict[str, Any] = {
        "product": st.column_config.TextColumn("Product", width=LONG_NAME),
        "category": st.column_config.TextColumn("Category"),
        "share": share("Share"),
    }
    for name, label in metrics.MEASURES.items():
        columns[name] = number(name, label, panel.description("product_sales_by_day", name))
    title = f"top-products-by-{measure}"
    names = list(rows["product"])

    def pick(row: int) -> None:
        drill.open_orders({"product": names[row]})

    table(shown, title, exact=rows, columns=columns, file=panel.file(title), on_pick=pick)
    st.caption("Tick a product to see its orders.")
