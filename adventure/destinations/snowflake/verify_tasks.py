"""The steps of `adventure snowflake verify` for the tasks that a deployment does not make by default.

These are the tasks of load_stages.sql, the triggered tasks, and the loads that report their failures.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from adventure.core.errors import WarehouseError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.snowflake.account_tasks import follow_graph, known_runs, outcome_of
from adventure.destinations.snowflake.credentials import SnowflakeLogin
from adventure.destinations.snowflake.dialect import SNOWFLAKE
from adventure.destinations.snowflake.scripts import alerts, one_file
from adventure.destinations.snowflake.session import SnowflakeSession
from adventure.destinations.snowflake.stage import SnowflakeStage
from adventure.destinations.snowflake.verify_rows import ROWS, put_window, write_window

TRIGGERED_WITHIN_SEC = 600.0
"""How long to wait for a triggered task, whose interval is five minutes."""
HELD = "select count(*) from {table} where split_part(_file, '/', 2) = ?"
"""Counts the rows and tombstones of a window in a raw table."""
Work = Callable[[], str]
Run = Callable[[Sequence[str]], str]
"""Runs statements, and says how many."""


class OtherTasks:
    """Works on a scratch deployment.

    Args:
        run: runs statements in one session.
        as_owner: the statements that set the names and take the owner's role.
        folder: where windows are written.
    """

    def __init__(
        self, settings: Settings, streams: Sequence[Stream], run: Run, as_owner: Sequence[str], folder: Path
    ) -> None:
        self._settings, self._streams, self._run, self._folder = settings, streams, run, folder
        self._as_owner = list(as_owner)
        self._stage = SnowflakeStage(settings)
        self._execute = SnowflakeSession(settings, SnowflakeLogin.of_dbt(settings)).execute

    def steps(self, triggered: Sequence[str]) -> Iterator[tuple[str, Work]]:
        """Yield the name and the work of each step, in their order.

        Args:
            triggered: the statements of a deployment with triggered tasks.
        """
        yield "load_stages.sql", self._run_one_file
        yield "deploy with triggered tasks", partial(self._run, triggered)
        for stream in self._streams:
            yield f"trigger {stream.name}", partial(self._trigger, stream)

    def alert(self, integration: str) -> str:
        """Run the ALTER statements of failure_alerts.sql; those that name an integration only if there is one.

        Args:
            integration: an existing notification integration that the owner's role may use; empty if there is none.
        """
        changes = [text for text in alerts(self._settings) if text.startswith("alter task")]
        if integration:
            named = SNOWFLAKE.column(integration)
            changes = [text.replace("= adventure_failures", f"= {named}") for text in changes]
        else:
            changes = [text for text in changes if " error_integration " not in text]
        begin = [*self._as_owner, "use database identifier($database_name)", "use schema raw_ext"]
        done = self._run([*begin, *changes])
        return done if integration else f"{done}; not `set error_integration`: SNOWFLAKE_ERROR_INTEGRATION is not set"

    def _run_one_file(self) -> str:
        """Stage windows of rows only, run the file, which executes its tasks at its end, and wait for them."""
        windows = {}
        for stream in self._streams:
            folder = self._folder / f"{stream.name}-one-file"
            windows[stream.name] = write_window(stream, folder, run_id="verify01", only_rows=True)
            put_window(self._stage, windows[stream.name], folder)
        known = known_runs(self._execute)
        done = self._run([*self._as_owner, *one_file(self._settings)])
        for stream in self._streams:
            self._follow(stream, known)
            self._expect_loaded(stream, windows[stream.name].id, ROWS)
        return f"{done}, {ROWS * len(windows)} rows loaded"

    def _trigger(self, stream: Stream) -> str:
        folder = self._folder / f"{stream.name}-triggered"
        window = write_window(stream, folder, run_id="verify02")
        known = known_runs(self._execute)
        put_window(self._stage, window, folder)
        seconds = self._follow(stream, known)
        self._expect_loaded(stream, window.id, ROWS + 1)
        return f"{ROWS + 1} rows and tombstones loaded; load and cleanup took {seconds:.0f} s"

    def _follow(self, stream: Stream, known: set[tuple[str, datetime]]) -> float:
        """Wait for the stream's load and cleanup, and return the seconds that they took."""
        load, cleanup = f"load_{stream.name}", f"cleanup_{stream.name}"
        runs = follow_graph(self._execute, load, cleanup, known, TRIGGERED_WITHIN_SEC)
        for run in runs:
            if run is not None:
                outcome_of(run, [])
        first, last = runs[0], runs[1] or runs[0]
        return ((last.ended_at or last.started_at) - first.started_at).total_seconds()

    def _expect_loaded(self, stream: Stream, window_id: str, expected: int) -> None:
        ((held,),) = self._execute(HELD.format(table=stream.raw_table), (window_id,), "adventure:query:verify")
        left = len(self._stage.entries(stream.stage))
        if (held, left) != (expected, 0):
            raise WarehouseError(
                f"{stream.name}: {held} rows of the window are loaded and {left} files are left in the stage,"
                f" instead of {expected} and 0",
                "Paste the report into an issue",
            )
