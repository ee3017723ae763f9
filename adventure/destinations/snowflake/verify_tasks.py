"""The steps of `adventure snowflake verify` for the tasks that a deployment does not make by default.

These are the tasks of load_stages.sql, the triggered tasks, and the loads that report their failures.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from adventure.core.errors import WarehouseError
from adventure.core.manifest import Window
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.snowflake.account_tasks import AccountRun, follow_graph, known_runs, outcome_of
from adventure.destinations.snowflake.credentials import SnowflakeLogin
from adventure.destinations.snowflake.dialect import SNOWFLAKE
from adventure.destinations.snowflake.scripts import alerts, one_file
from adventure.destinations.snowflake.session import SnowflakeSession
from adventure.destinations.snowflake.stage import SnowflakeStage
from adventure.destinations.snowflake.verify_rows import ROWS, put_window, write_window

TRIGGERED_WITHIN_SEC = 600.0
"""How long to wait for a triggered task, whose interval is five minutes."""
MOST_RUNS = 3
"""How many runs of a triggered task may pass before its window must be loaded."""
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
        self._windows: dict[str, Window] = {}
        self._known: set[tuple[str, datetime]] = set()
        """The runs before the windows were staged."""
        self._execute = SnowflakeSession(settings, SnowflakeLogin.of_dbt(settings)).execute

    def steps(self, triggered: Sequence[str]) -> Iterator[tuple[str, Work]]:
        """Yield the name and the work of each step, in their order.

        Args:
            triggered: the statements of a deployment with triggered tasks.
        """
        yield "load_stages.sql", self._run_one_file
        yield "deploy with triggered tasks", partial(self._run, triggered)
        yield "stage for the triggered tasks", self._put_for_triggers
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

    def _put_for_triggers(self) -> str:
        self._known = known_runs(self._execute)
        for stream in self._streams:
            folder = self._folder / f"{stream.name}-triggered"
            self._windows[stream.name] = write_window(stream, folder, run_id="verify02")
            put_window(self._stage, self._windows[stream.name], folder)
        return f"{len(self._windows)} windows"

    def _trigger(self, stream: Stream) -> str:
        """Wait for the run that loads the window. An earlier one may begin for files that are loaded already."""
        window, known = self._windows[stream.name], set(self._known)
        for begun in range(1, MOST_RUNS + 1):
            runs = self._follow(stream, known)
            if self._held(stream, window.id) or begun == MOST_RUNS:
                break
            known |= {(run.task, run.scheduled_at) for run in runs}
        self._expect_loaded(stream, window.id, ROWS + 1)
        return f"{ROWS + 1} rows and tombstones loaded by run {begun}"

    def _follow(self, stream: Stream, known: set[tuple[str, datetime]]) -> list[AccountRun]:
        """Wait for the stream's next load and for the cleanup after it, and return them."""
        load, cleanup = f"load_{stream.name}", f"cleanup_{stream.name}"
        runs = [run for run in follow_graph(self._execute, load, cleanup, known, TRIGGERED_WITHIN_SEC) if run]
        for run in runs:
            outcome_of(run, [])
        return runs

    def _expect_loaded(self, stream: Stream, window_id: str, expected: int) -> None:
        held = self._held(stream, window_id)
        left = len(self._stage.entries(stream.stage))
        if (held, left) != (expected, 0):
            raise WarehouseError(
                f"{stream.name}: {held} rows of the window are loaded and {left} files are left in the stage,"
                f" instead of {expected} and 0",
                "Paste the report into an issue",
            )

    def _held(self, stream: Stream, window_id: str) -> int:
        ((held,),) = self._execute(HELD.format(table=stream.raw_table), (window_id,), "adventure:query:verify")
        return int(held)
