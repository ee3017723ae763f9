"""What a Snowflake account has around its database, and the emulator lacks: tasks that run, their history, metering.

EXECUTE TASK runs the task's text as it stands in snowflake/4_tasks_scheduled.sql, in a thread of its own, and after it
what comes after it. Of these runs the emulator answers TASK_HISTORY.
"""

import ast
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.snowflake.scripts import deployment, split, stage_statements, task_statements
from adventure.destinations.snowflake.session import connect_snowflake
from tests.snowflake import scripting
from tests.snowflake.procedure import Session, run

SCRIPTS = Path(__file__).parents[2] / "snowflake"
TASKS = SCRIPTS / "4_tasks_scheduled.sql"
TABLES = (
    "create table if not exists account.resource_monitors (name varchar, credit_quota double, used_credits double)",
    "create table if not exists account.warehouse_metering_history (warehouse_name varchar, start_time timestamp_tz,"
    " credits_used double)",
    "insert into account.resource_monitors values ('ADVENTURE_MONITOR', 20, 0.25)",
)
_settings: dict[str, Settings] = {}
_own: dict[str, list[str]] = {}
_runs: "dict[str, list[_Run]]" = {}
_skipped: dict[str, int] = {}
_stale: dict[str, list[str]] = {}


def begin(settings: Settings) -> None:
    """An account with this database, and the tasks of the files."""
    name = settings.snowflake_database.upper()
    _runs[name] = []
    _settings[name], _own[name] = settings, list(split(TASKS.read_text(encoding="utf-8")))


def with_sources(snowflake: Settings, sources: Settings) -> Settings:
    """The settings of a pipeline from these sources into that account."""
    changed = {name: getattr(snowflake, name) for name in snowflake.model_fields_set if "snow" in name}
    return sources.model_copy(update={**changed, "warehouse": "snowflake"})


def environment(settings: Settings) -> dict[str, str]:
    """The variables that give these settings to a command."""
    found = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if value is not None:
            found[name.upper()] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return found


def skip(settings: Settings, times: int) -> None:
    """Skip the next runs, as the account does if a task's WHEN does not hold."""
    _skipped[settings.snowflake_database.upper()] = times


def add_failed_run(settings: Settings, task: str, *, schema: str, message: str) -> None:
    """Add a failed run of a task to what TASK_HISTORY answers."""
    moment = datetime.now(UTC).replace(tzinfo=None)
    _runs[settings.snowflake_database.upper()].append(_Run(task, moment, "FAILED", moment, message, schema))


POLL_SEC = 0.2
"""How often the tests ask whether a task has ended. A question takes the emulator as long as a part of the task."""


def make_stale(settings: Settings, *streams: str) -> None:
    """Let these streams of stages be stale, as the account does to streams that nothing reads."""
    _stale[settings.snowflake_database.upper()] = list(streams)


def streams(database: str) -> str:
    """Return what SHOW STREAMS answers, as a query."""
    shown = {"CHAT_STAGE_FILES": "false", **dict.fromkeys(_stale.get(database.upper(), ()), "true")}
    return " union all ".join(f"select '{name}' as \"name\", '{stale}' as \"stale\"" for name, stale in shown.items())


def create_tables(settings: Settings, *streams: Stream) -> None:
    """What 2_raw_tables.sql makes, and what `adventure snowflake deploy` adds for streams that the files lack."""
    statements = list(split((SCRIPTS / "2_raw_tables.sql").read_text(encoding="utf-8")))
    for stream in streams:
        statements += stage_statements(stream)
        _own[settings.snowflake_database.upper()] += task_statements(stream, "scheduled")
    _run(settings, statements)


def deploy_dashboard(settings: Settings) -> None:
    """What 5_dashboard.sql makes; the app itself, which the emulator lacks, is nothing but its files."""
    statements = deployment(settings, (), "scheduled")
    begin = next(place for place, text in enumerate(statements) if text.startswith("create schema if not exists dash"))
    names = [text for text in statements if text.startswith("set ")]
    with connect_snowflake(settings) as connection, connection.cursor() as cursor:
        for statement in names + statements[begin:]:
            cursor.execute(statement)


def _run(settings: Settings, statements: Iterable[str]) -> None:
    with connect_snowflake(settings) as connection, connection.cursor() as cursor:
        for statement in statements:
            if statement.startswith(("create stage", "create stream", "create table", "create view")):
                cursor.execute(statement)


def execute_task(database: str, name: str) -> None:
    """Begins a run of a first task and of what comes after it, and returns.

    Raises:
        ProgrammingError: there is no such task, or it comes after another one.
    """
    from snowflake.connector.errors import ProgrammingError

    statements = _own[database.upper()]
    text = next((text for text in statements if re.match(rf"create or replace task {name}\s", text)), None)
    if text is None:
        raise ProgrammingError(msg=f"Task '{name.upper()}' does not exist or not authorized.", errno=2003)
    if _after(text):
        raise ProgrammingError(msg=f"Task {name.upper()} is not a root task.", errno=91089)
    if _skipped.get(database.upper(), 0) > 0:
        _skipped[database.upper()] -= 1
        moment = datetime.now(UTC).replace(tzinfo=None)
        _runs[database.upper()].append(_Run(name, moment, "SKIPPED", moment))
        return
    following = [text] + [other for other in statements if _after(other) == name]
    threading.Thread(target=_run_all, args=(_settings[database.upper()], following), daemon=True).start()


def create_task(database: str, text: str) -> None:
    """Replace a task, or add one."""
    name = text.split()[4]
    kept = [each for each in _own[database.upper()] if not re.match(rf"create or replace task {name}\s", each)]
    _own[database.upper()] = [*kept, text]


def refresh(database: str, stage: str) -> None:
    """Begin the triggered tasks that wait for new files of a stage."""
    for text in _own.get(database.upper(), ()):
        head = _head(text)
        if f"when system$stream_has_data('{stage.lower()}_files')" in head and " schedule = " not in head:
            execute_task(database, text.split()[4])


def _head(text: str) -> str:
    """What stands before a task's statement."""
    return re.split(r"\bas\n", text, maxsplit=1)[0]


def _after(text: str) -> str:
    found = re.search(r"\safter (\w+)\s", _head(text))
    return found[1] if found and text.startswith("create or replace task") else ""


def task_history(database: str) -> str:
    """What TASK_HISTORY answers, as a query."""
    empty = "select '' as name, current_database() as database_name, '' as schema_name, '' as state,"
    empty += " null::timestamp as scheduled_time,"
    empty += " null::timestamp as query_start_time, null::timestamp as completed_time, '' as error_message where false"
    rows = [
        f"select '{one.name.upper()}', current_database(), '{one.schema}', '{one.state}', '{one.scheduled}'::timestamp,"
        f" '{one.scheduled}'::timestamp, nullif('{one.ended}', 'None')::timestamp,"
        f" '{quoted(one.message)}'"
        for one in list(_runs[database.upper()])
    ]
    return " union all ".join([empty, *rows])


def quoted(text: str) -> str:
    """For a literal."""
    return text.replace("\\", "\\\\").replace("'", "''")


@dataclass
class _Run:
    name: str
    scheduled: datetime
    state: str = "EXECUTING"
    ended: datetime | None = None
    message: str = ""
    schema: str = "RAW_EXT"


def _run_all(settings: Settings, tasks: list[str]) -> None:
    for text in tasks:
        begun = _Run(text.split()[4], datetime.now(UTC).replace(tzinfo=None))
        _runs[settings.snowflake_database.upper()].append(begun)
        try:
            _run_text(settings, begun.name, text)
        except Exception as error:  # noqa: BLE001 - as the account: whatever it was, it stands in TASK_HISTORY
            begun.message = str(error)
        begun.ended = datetime.now(UTC).replace(tzinfo=None)
        begun.state = "FAILED" if begun.message else "SUCCEEDED"
        if begun.message:
            return


def _run_text(settings: Settings, name: str, text: str) -> None:
    """Run a call of the procedure, or a task of snowflake/load_stages.sql."""
    found = re.search(r"call run_stage_task\((.*)\)$", text)
    if found is None:
        scripting.run_task(settings, name)
        return
    texts = re.sub(r"'((?:[^']|'')*)'", lambda text: repr(text[1].replace("''", "'").replace("\\\\", "\\")), found[1])
    listed = re.sub(r"array_construct\((.*?)\)", r"[\1]", texts)
    with connect_snowflake(settings) as connection:
        run(Session(connection), *ast.literal_eval(f"({listed})"))
