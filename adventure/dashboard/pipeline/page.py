"""The Pipeline page: whether the data can be trusted, and what to fix if it cannot."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pandas as pd
import streamlit as st

from adventure.core.ages import long_age
from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseError
from adventure.dashboard import data, format
from adventure.dashboard.layout import (
    REFRESH_SEC,
    download,
    draw,
    rerun_on_publish,
    show_empty,
    show_error,
    texts,
    theme,
)
from adventure.dashboard.pipeline import state
from adventure.dashboard.pipeline.charts import credits_chart, cycles_chart, lateness_chart
from adventure.dashboard.pipeline.flow import flow
from adventure.destinations.published import PublishedDataset, Query, Version
from adventure.factory import open_report, open_sales
from adventure.monitoring.health.causes import depth
from adventure.monitoring.health.problem import Problem
from adventure.monitoring.health.rules import find_problems


def show() -> None:
    """Draw the page."""
    dataset = open_report()
    version = dataset.version()
    st.title("Pipeline", anchor=False)
    if version is None:
        _watch(dataset, None)
        st.info(
            "The pipeline has not reported yet. It reports after each run of the tasks: `adventure tasks run` runs them"
            " once, `adventure tasks serve` runs them on a schedule.",
            icon=":material/hourglass_empty:",
        )
        return
    try:
        query = data.cached_query(dataset, version)
        current = state.read(query)
        _status(dataset, version, current)
        _details(query, current, utc_now())
        if dataset.is_metered:
            with st.container(border=True):
                _credits(query)
    except WarehouseError as error:
        show_error(error)
        _watch(dataset, version)


@st.fragment(run_every=REFRESH_SEC)
def _watch(dataset: PublishedDataset, version: Version | None) -> None:
    rerun_on_publish((dataset, version))


@st.fragment(run_every=REFRESH_SEC)
def _status(dataset: PublishedDataset, version: Version, current: state.State) -> None:
    """Draw the verdict and the flow diagram. A fragment: their ages grow while the page is open."""
    rerun_on_publish((dataset, version))
    now = utc_now()
    report = current.report
    found = find_problems(data.health(report, now))
    every = f"every {long_age(timedelta(seconds=report.interval_sec))}" if report.interval_sec else "by hand"
    written_at = report.written_at or now
    st.caption(
        f"As of {format.moment(written_at)}, {long_age(now - written_at)} old · the tasks run {every}"
        f" and report after each run · {_processor_seen(now)}"
    )
    show_verdict(found, has_rows=any(stream.watermark or stream.raw_rows for stream in report.streams))
    with st.container(border=True):
        st.html(flow(current, found, now, open_sales().published_at(), theme()))


def _processor_seen(now: datetime) -> str:
    """Return when the processor was last seen. The heartbeat is read live; it is not part of the report."""
    sign = data.processor_heartbeat()
    if sign is None:
        return "this dashboard cannot see the processor"
    return f"the processor {'stopped' if sign.has_ended else 'was last seen'} {long_age(now - sign.seen_at)} ago"


def show_verdict(found: Sequence[Problem], *, has_rows: bool) -> None:
    """Show whether there are problems, and how to fix them.

    Args:
        has_rows: whether any row was loaded; without one there is nothing that could be right or wrong.
    """
    errors = [problem for problem in found if problem.severity == "error"]
    if not found and not has_rows:
        st.info("**No rows have been loaded yet.** No problem is known either.", icon=":material/hourglass_empty:")
        return
    if not found:
        st.success(
            "**No problems.** All data that was read is loaded, built and published.", icon=":material/check_circle:"
        )
        return
    show, icon = (st.error, ":material/error:") if errors else (st.warning, ":material/warning:")
    head = "**Data may be old or missing.**" if errors else "**The data is correct, but needs attention.**"
    show("\n".join([head, "", *map(_line, found)]), icon=icon)


def _line(problem: Problem) -> str:
    """Return an entry of the list. A consequence stands below its cause, and ends with it."""
    if problem.cause:
        return f"{'    ' * depth(problem)}- {format.markdown(problem.sentence)}."
    return f"- {format.markdown(problem.sentence)}.  \n  **Fix:** {format.commands(problem.remedy)}."


def _details(query: Query, current: state.State, now: datetime) -> None:
    streams = [stream.stream for stream in current.report.streams]
    left, right = st.container(key="pair").columns(2, gap="small")
    with left.container(border=True, height="stretch"):
        st.subheader("Rows per cycle", anchor=False, help="Rows of each window, by the minute it was staged.")
        cycles = state.cycles(query)
        if cycles.empty:
            show_empty(
                "No window was staged in the last 6 hours: there were no sales, or the processor did not read them. The"
                " line above the verdict shows when the processor was last seen."
            )
        else:
            draw(st, cycles_chart(cycles, streams, now, theme()))
            download(cycles, "rows-per-cycle")
    with right.container(border=True, height="stretch"):
        _tasks(current, now)
    with st.container(border=True):
        _lateness(query, streams, is_empty=cycles.empty)
    with st.container(border=True):
        _rejected(query, current)
    with st.container(border=True):
        _tests(query, current, now)


def _credits(query: Query) -> None:
    st.subheader(
        "Snowflake credits used",
        anchor=False,
        help="Credits per day (UTC) of the warehouse that loads, builds and serves this page, idle minutes included."
        " Source: ACCOUNT_USAGE.WAREHOUSE_METERING_HISTORY, up to three hours late. `adventure status` shows credits by"
        " task.",
    )
    rows = state.credits(query)
    if rows.empty:
        show_empty("No credits are metered for the last 30 days yet. Snowflake reports credits up to three hours late.")
        return
    draw(st, credits_chart(rows, theme()))
    st.caption(f"{format.decimal(float(rows['credits'].sum()), 2)} credits in the last 30 days.")
    download(rows, "credits-per-day")


def _lateness(query: Query, streams: list[str], *, is_empty: bool) -> None:
    st.subheader(
        "Lateness",
        anchor=False,
        help="Rows of the last 6 hours whose cursor is below the watermark at which their window began. They show how"
        " long a stream's lookback must be. `adventure reconcile` also counts rows that no window brought.",
    )
    rows = state.lateness(query)
    if is_empty:
        st.caption("No window was staged in the last 6 hours, so nothing is known of late rows.")
        return
    if not rows["rows"].any():
        st.caption("In the last 6 hours, no row arrived below its stream's watermark.")
        return
    draw(st, lateness_chart(rows, streams, theme()))
    download(rows, "lateness")


def _tasks(current: state.State, now: datetime) -> None:
    st.subheader("Tasks", anchor=False, help="The last run of each task that had work to do.")
    rows = pd.DataFrame(
        [
            (task.task, task.outcome, f"{long_age(now - task.ended_at)} ago", task.seconds, task.rows, task.message)
            for task in current.tasks.values()
        ],
        columns=["task", "outcome", "ended", "seconds", "rows", "message"],
    )
    headers = {
        "task": "Task",
        "outcome": "Outcome",
        "ended": "Ended",
        "seconds": "Seconds",
        "rows": "Rows",
        "message": "Message",
    }
    texts(rows, "tasks", headers=headers, label="Tasks", below=["message"])


def _rejected(query: Query, current: state.State) -> None:
    st.subheader(
        "Rejected rows",
        anchor=False,
        help="Rows with a value that cannot be converted exactly. raw_ext.rejected_rows keeps them, with the reason.",
    )
    if not current.rejected:
        read = sum(stream.rows_loaded for stream in current.report.streams)
        st.caption(f"None among {read:,} loaded rows." if read else "No rows have been read yet.")
        return
    reasons = pd.DataFrame(
        [(each.stream, each.rows, each.last_at, each.reason) for each in current.rejected],
        columns=["stream", "rows", "last", "reason"],
    )
    headers = {"stream": "Stream", "rows": "Rows", "last": "Last (UTC)", "reason": "Reason"}
    texts(reasons, "rejected-reasons", headers=headers, label="Reasons of rejected rows", below=["reason"])
    with st.expander("Latest rejected rows"):
        headers = {
            "stream": "Stream",
            "key": "Key",
            "loaded_at": "Loaded (UTC)",
            "reason": "Reason",
            "row": "Row",
            "file": "File",
        }
        rows = state.rejected_rows(query)[list(headers)]
        texts(rows, "rejected-rows", headers=headers, label="Rejected rows", below=["reason", "row", "file"])


def _tests(query: Query, current: state.State, now: datetime) -> None:
    st.subheader("Data tests", anchor=False, help="Results of dbt's last run. Rows that fail a test are kept.")
    has_run = bool(current.tested_at and current.tests_run)
    ran = (
        f"{current.tests_run:,} tests ran {long_age(now - current.tested_at)} ago."
        if current.tested_at and has_run
        else "No tests have run yet."
    )
    if not current.report.tests:
        st.caption(f"{ran} None failed or warned." if has_run else ran)
        return
    st.caption(ran)
    for test in current.report.tests:
        rows = state.failing_rows(query, test.test)
        mark = ":material/warning:" if test.outcome == "warn" else ":material/error:"
        label = f"{mark} {format.markdown(test.test)} · {test.outcome} · {test.rows or 0:,} rows"
        with st.expander(label):
            st.markdown(format.markdown(f"{test.kind} of {test.model}: {test.message or 'no message'}"))
            if test.audit_table:
                st.markdown(format.markdown(f"All failing rows: select * from {test.audit_table}"))
            if not rows.empty:
                texts(rows, f"failing-{test.test}", headers={"row": "Row"}, label=f"Rows that fail {test.test}")
