"""The Pipeline page: whether the figures can be trusted, and what to do where they cannot."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from adventure.core.ages import long_age
from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseError
from adventure.dashboard import data, format
from adventure.dashboard.layout import LOOK_EVERY_SEC, damaged, download, empty, table, theme, watch
from adventure.dashboard.pipeline import state
from adventure.dashboard.pipeline.charts import credits_chart, cycles_chart, lateness_chart
from adventure.dashboard.pipeline.flow import flow
from adventure.dashboard.pipeline.verdict import Problem, problems
from adventure.destinations.published import PublishedDataset, Query, Version
from adventure.factory import open_report, open_sales


def show() -> None:
    """The page."""
    copy = open_report()
    version = copy.version()
    st.title("Pipeline", anchor=False)
    if version is None:
        _wait(copy, None)
        st.info(
            "The pipeline has not reported yet: it does after each run of the tasks. `adventure tasks run` runs them"
            " once, `adventure tasks serve` keeps them running.",
            icon=":material/hourglass_empty:",
        )
        return
    try:
        query = data.cached(copy, version)
        held = state.read(query)
        _live(copy, version, held)
        _details(query, held, utc_now())
        if copy.is_metered:
            with st.container(border=True):
                _credits(query)
    except WarehouseError as error:
        damaged(error)
        _wait(copy, version)


@st.fragment(run_every=LOOK_EVERY_SEC)
def _wait(copy: PublishedDataset, version: Version | None) -> None:
    watch((copy, version))


@st.fragment(run_every=LOOK_EVERY_SEC)
def _live(copy: PublishedDataset, version: Version, held: state.State) -> None:
    """The verdict and the picture, whose ages grow while the page is open."""
    watch((copy, version))
    now = utc_now()
    found = problems(held, data.processor(), now, data.tasks_interval_sec())
    every = f"every {long_age(timedelta(seconds=held.every_sec))}" if held.every_sec else "by hand"
    st.caption(
        f"As of {format.moment(held.written_at)}, {long_age(now - held.written_at)} old · the tasks run {every},"
        f" and report each time · {_processor_seen(now)}"
    )
    verdict(found)
    with st.container(border=True):
        st.html(flow(held, found, now, open_sales().published_at(), theme()))


def _processor_seen(now: datetime) -> str:
    """Between two reports as well: its heartbeat is no part of them."""
    sign = data.processor()
    if sign is None:
        return "the processor cannot be seen from here"
    return f"the processor {'stopped' if sign.has_ended else 'was seen'} {long_age(now - sign.seen_at)} ago"


def verdict(found: Sequence[Problem]) -> None:
    """One glance."""
    wrong = [problem for problem in found if problem.severity == "wrong"]
    if not found:
        st.success("**All is well.** What was read is loaded, built and shown.", icon=":material/check_circle:")
        return
    say, icon = (st.error, ":material/error:") if wrong else (st.warning, ":material/visibility:")
    head = "**Something is wrong.**" if wrong else "**The figures are right; something wants a look.**"
    lines = [f"- {format.markdown(problem.what)}.  \n  **What to do:** {problem.do}." for problem in found]
    say("\n".join([head, "", *lines]), icon=icon)


def _details(query: Query, held: state.State, now: datetime) -> None:
    streams = [stream.stream for stream in held.streams]
    left, right = st.columns(2, gap="small")
    with left.container(border=True, height="stretch"):
        st.subheader("Rows per cycle", anchor=False, help="Rows of each window, by the minute in which it was staged.")
        cycles = state.cycles(query)
        if cycles.empty:
            empty(
                "No window was staged within the last 6 hours: nothing was sold, or it was not read. Above stands when"
                " the processor was seen last."
            )
        else:
            st.altair_chart(cycles_chart(cycles, streams, now, theme()), width="stretch")
            download(cycles, "rows-per-cycle")
    with right.container(border=True, height="stretch"):
        _tasks(held, now)
    with st.container(border=True):
        _lateness(query, streams)
    with st.container(border=True):
        _rejected(query, held)
    with st.container(border=True):
        _tests(query, held, now)


def _credits(query: Query) -> None:
    st.subheader(
        "Snowflake credits used",
        anchor=False,
        help="By day (UTC), of the warehouse that loads, builds and shows this page, idle minutes included:"
        " ACCOUNT_USAGE.WAREHOUSE_METERING_HISTORY, up to three hours late. `adventure status` shows them by task.",
    )
    rows = state.credits(query)
    if rows.empty:
        empty("Nothing of the last 30 days is metered yet: Snowflake tells of credits up to three hours late.")
        return
    st.altair_chart(credits_chart(rows, theme()), width="stretch")
    st.caption(f"{format.decimal(float(rows['credits'].sum()), 2)} credits in the last 30 days.")
    download(rows, "credits-per-day")


def _lateness(query: Query, streams: list[str]) -> None:
    st.subheader(
        "Lateness",
        anchor=False,
        help="Rows of the last 6 hours whose cursor lies below the watermark at which their window began: what sets a"
        " stream's lookback. `adventure reconcile` adds those that no window brought.",
    )
    rows = state.lateness(query)
    if not rows["rows"].any():
        st.caption("No row of the last 6 hours landed below its stream's watermark.")
        return
    st.altair_chart(lateness_chart(rows, streams, theme()), width="stretch")
    download(rows, "lateness")


def _tasks(held: state.State, now: datetime) -> None:
    st.subheader("Tasks", anchor=False, help="The last run of each task that had something to do.")
    rows = pd.DataFrame(
        [
            (task.task, task.outcome, f"{long_age(now - task.ended_at)} ago", task.seconds, task.rows, task.message)
            for task in held.tasks.values()
        ],
        columns=["task", "outcome", "ended", "seconds", "rows", "message"],
    )
    table(
        rows,
        "tasks",
        columns={
            "task": "Task",
            "outcome": "Outcome",
            "ended": "Ended",
            "seconds": st.column_config.NumberColumn("Seconds", format="%.1f"),
            "rows": st.column_config.NumberColumn("Rows", format="localized"),
            "message": "Message",
        },
    )


def _rejected(query: Query, held: state.State) -> None:
    st.subheader(
        "Rows set aside",
        anchor=False,
        help="Rows with a value that cannot be carried exactly: kept whole in raw_ext.rejected_rows, with the reason.",
    )
    if not held.rejected:
        st.caption("None: every row that was read could be carried exactly.")
        return
    reasons = pd.DataFrame([(r.stream, r.reason, r.rows, r.last_at) for r in held.rejected],
                           columns=["stream", "reason", "rows", "last"])  # fmt: skip
    table(
        reasons,
        "rejected-reasons",
        columns={
            "stream": "Stream",
            "reason": st.column_config.TextColumn("Reason", width="large"),
            "rows": st.column_config.NumberColumn("Rows", format="localized"),
            "last": st.column_config.DatetimeColumn("Last (UTC)", format="YYYY-MM-DD HH:mm:ss"),
        },
    )
    with st.expander("The rows that were set aside last"):
        columns: dict[str, Any] = {
            "stream": "Stream",
            "key": "Key",
            "reason": "Reason",
            "row": st.column_config.TextColumn("Row", width="large"),
            "file": "File",
            "loaded_at": st.column_config.DatetimeColumn("Loaded (UTC)", format="YYYY-MM-DD HH:mm:ss"),
        }
        table(state.rejected_rows(query), "rejected-rows", columns=columns)


def _tests(query: Query, held: state.State, now: datetime) -> None:
    st.subheader("Data tests", anchor=False, help="What dbt found in its last run; rows that fail a test are kept.")
    ran = (
        f"{held.tests_run:,} tests ran {long_age(now - held.tested_at)} ago." if held.tested_at else "None has run yet."
    )
    if not held.tests:
        st.caption(f"{ran} None failed, none warned." if held.tested_at else ran)
        return
    st.caption(ran)
    for test in held.tests:
        rows = state.failing_rows(query, test.test)
        mark = ":material/visibility:" if test.outcome == "warn" else ":material/error:"
        label = f"{mark} {format.markdown(test.test)} · {test.outcome} · {test.rows or 0:,} rows"
        with st.expander(label):
            st.text(f"{test.kind} of {test.model}: {test.message or 'no message'}")
            if test.audit_table:
                st.text(f"All of its rows: select * from {test.audit_table}")
            if not rows.empty:
                columns = {"row": st.column_config.TextColumn("Row", width="large")}
                table(rows, f"failing-{test.test}", columns=columns)
