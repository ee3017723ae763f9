"""Incremental models equal those of a full build, whatever arrives in whatever order.

`test_live_path` and `test_deletes` test the content of the tables with fixed sequences; this test compares the two ways.
"""

import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.dbt.conftest import NOON, Project, Row, chat, chat_tombstone, line, new_project, order, tombstone

# Few keys and few times, so that versions of the same key meet often.
MOMENTS = st.integers(0, 5).map(lambda hours: NOON + timedelta(hours=hours))
ORDERS = st.sampled_from("abcd")
# Any order: a line may move.
LINES = st.tuples(ORDERS, st.integers(1, 3), ORDERS).map(lambda keys: (f"{keys[0]}{keys[1]}", keys[2]))
# Days late, on the hour and a microsecond before it, in the future, and without a time.
PLACED = (
    st.integers(0, 3).map(lambda days: NOON - timedelta(days=20 * days))
    | st.sampled_from([timedelta(microseconds=-1), timedelta(hours=1), timedelta(days=4)]).map(lambda late: NOON + late)
    | st.none()
)

orders = st.builds(
    lambda key, at, customer, placed, total: (
        order(key, last_modified=at, customer_id=customer, order_date=placed or NOON, sub_total=total)
        | {"order_date": placed}
    ),
    ORDERS,
    MOMENTS,
    st.sampled_from([11000, 11001, None]),
    PLACED,
    st.integers(0, 30),
) | st.builds(lambda key, at: tombstone("sales_order_id", key, at), ORDERS, MOMENTS)
lines = st.builds(
    lambda keys, at, quantity, product: line(*keys, last_modified=at, order_qty=quantity, product_id=product),
    LINES,
    MOMENTS,
    st.integers(1, 9),
    st.sampled_from([707, 708]),
) | st.builds(lambda keys, at: tombstone("sales_order_detail_id", keys[0], at), LINES, MOMENTS)
chats = st.builds(
    lambda key, at, status: chat(key, last_modified=at.isoformat(), ticket_status=status),
    ORDERS,
    MOMENTS,
    st.sampled_from(["Open", "Closed"]),
) | st.builds(chat_tombstone, ORDERS, MOMENTS)
loads = st.fixed_dictionaries(
    {"orders": st.lists(orders, max_size=6), "lines": st.lists(lines, max_size=8), "chats": st.lists(chats, max_size=3)}
)
# The models at which a build fails: those that read them are not built.
failures = st.none() | st.sampled_from(
    [
        "base_real_time__sales_orders",
        "stg_real_time__sales_orders",
        "sales_by_hour",
        "recent_orders",
        "recent_order_lines",
    ]
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> Project:
    """Every model, built on empty tables."""
    project = new_project(tmp_path_factory.mktemp("empty"), dbt_folder)
    project.build_models()
    return project


@pytest.mark.slow
# No shrinking: an example takes four builds.
@hypothesis_settings(
    max_examples=int(os.environ.get("INCREMENT_EXAMPLES", "4")),
    phases=[Phase.explicit, Phase.generate],
)
@given(increments=st.lists(st.tuples(loads, failures), min_size=2, max_size=3))
def test_increments_give_the_tables_of_a_full_refresh(
    empty: Project, tmp_path_factory: pytest.TempPathFactory, increments: list[tuple[dict[str, list[Row]], str | None]]
) -> None:
    project = Project(tmp_path_factory.mktemp("example") / "warehouse.duckdb", empty.folder)
    shutil.copy(empty.path, project.path)
    for increment, failure in increments:
        project.load(**increment)
        build_live_path(project, *(("--exclude", f"{failure}+") if failure else ()))
    if increments[-1][1]:
        build_live_path(project)
    grown = tables(project)
    build_live_path(project, "--full-refresh")
    whole = tables(project)
    assert {name for name in whole if grown[name] != whole[name]} == set()


def build_live_path(project: Project, *arguments: str) -> None:
    project.dbt("run", "--select", "source:raw_ext+", *arguments)


def tables(project: Project) -> dict[str, list[str]]:
    """Return the content of every model, without stamps and previous states, which differ between the two ways."""
    found = project.query(
        "select table_name, bool_or(column_name = 'is_current')"
        " from information_schema.columns where table_schema = 'dbt_prod' group by all"
    )
    return {
        name: sorted(
            str(row)
            for row in project.query(
                f"select columns(lambda name: not ends_with(name, '_loaded_at')) from dbt_prod.{name}"
                f" {'where is_current' if versioned else ''}"
            )
        )
        for name, versioned in found
    }
