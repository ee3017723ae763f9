"""Reads snowflake/*.sql as statements, with the names of the settings, and writes the statements of other streams.

The files can be read and run in a worksheet; `adventure snowflake deploy` runs the same text.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import adventure
from adventure.core.errors import ConfigError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.snowflake.dialect import SNOWFLAKE

Trigger = Literal["scheduled", "triggered"]

_SETUP = ("0_names.sql", "1_setup.sql", "2_raw_tables.sql", "3_load_stages.sql")
_TEARDOWN = ("0_names.sql", "9_destroy.sql")
# A body in $$, a literal, a comment, a semicolon, or the text between them.
_TOKEN = re.compile(r"\$\$.*?\$\$|'(?:[^'\\]|\\.)*'|--[^\n]*\n?|;|[^;'$-]+|.", re.DOTALL)
SHOW_STREAMS = "show streams in schema raw_ext"
"""`adventure.destinations.snowflake.deploy` replaces the stale streams among them. The statement needs no warehouse."""
SHIPPED = ("orders", "order_details", "chat_logs")
"""The streams whose stages and tasks are in the files."""


def deployment(settings: Settings, streams: Sequence[Stream], trigger: Trigger) -> list[str]:
    """Return all statements that set the pipeline up, in their order. Each may be run again.

    Raises:
        ConfigError: a script is missing.
    """
    statements = _read(settings, *_SETUP)
    others = [stream for stream in streams if stream.name not in SHIPPED]
    statements += [statement for stream in others for statement in stage_statements(stream)]
    statements += _read(settings, f"4_tasks_{trigger}.sql")
    statements += [statement for stream in others for statement in task_statements(stream, trigger)]
    statements = [_reporting(statement, settings.snowflake_error_integration) for statement in statements]
    return [*statements, SHOW_STREAMS, *_read(settings, "5_dashboard.sql")]


def teardown(settings: Settings) -> list[str]:
    """Return all statements that remove the pipeline and its rows.

    Raises:
        ConfigError: a script is missing.
    """
    return _read(settings, *_TEARDOWN)


def names(settings: Settings) -> list[str]:
    """Return the statements of 0_names.sql, with the names of the settings.

    Raises:
        ConfigError: the script is missing.
    """
    return _read(settings, "0_names.sql")


def one_file(settings: Settings) -> list[str]:
    """Return the statements of load_stages.sql, with the database and the warehouse of the settings.

    Raises:
        ConfigError: the script is missing.
    """
    return _read(settings, "load_stages.sql")


def alerts(settings: Settings) -> list[str]:
    """Return the statements of failure_alerts.sql.

    Raises:
        ConfigError: the script is missing.
    """
    return _read(settings, "failure_alerts.sql")


def name_of(settings: Settings, variable: str) -> str:
    """Return the value of a variable of `0_names.sql`, such as `owner_role`.

    Raises:
        ConfigError: the script is missing, or does not set the variable.
    """
    for statement in names(settings):
        if found := re.fullmatch(rf"set {variable} = '([^']*)'", statement):
            return found[1]
    raise ConfigError(f"0_names.sql in {settings.snowflake_dir} does not set {variable}", "Restore the original file")


def stage_statements(stream: Stream) -> list[str]:
    """Return the statements that create a stream's stage. The stream's first load creates its raw table."""
    return [
        f"create stage if not exists {stream.stage}\n"
        "    encryption = (type = 'SNOWFLAKE_SSE')\n"
        "    directory = (enable = true)",
        f"grant read, write on stage {stream.stage} to role identifier($loader_role)",
        f"create stream if not exists {stream.stage}_files on stage {stream.stage}",
    ]


def layout(stream: Stream) -> str:
    """Return how the load procedure has to read a stream's files: `documents` or `columns`."""
    return "documents" if stream.documents else "columns"


def task_statements(stream: Stream, trigger: Trigger) -> list[str]:
    """Return the statements that create and resume a stream's load task and the cleanup task after it."""
    key = ", ".join(map(SNOWFLAKE.literal, stream.key))
    arguments = (
        f"{SNOWFLAKE.literal(stream.name)}, '{layout(stream)}', '{stream.stage}', '{stream.raw_table}',"
        f" array_construct({key}), {SNOWFLAKE.literal(stream.cursor)}"
    )
    scheduled = trigger == "scheduled"
    schedule = "    schedule = 'USING CRON 0 * * * * UTC'\n" if scheduled else ""
    pause = "" if scheduled else "    user_task_minimum_trigger_interval_in_seconds = 300\n"
    return [
        f"create or replace task load_{stream.name}\n"
        "    warehouse = identifier($warehouse_name)\n"
        f"{schedule}"
        f"    query_tag = 'adventure:load_{stream.name}'\n"
        "    user_task_timeout_ms = 3600000\n"
        f"{pause}"
        "    suspend_task_after_num_failures = 5\n"
        "    task_auto_retry_attempts = 2\n"
        f"    when system$stream_has_data('{stream.stage}_files')\n"
        "as\n"
        f"    call run_stage_task('load', {arguments})",
        f"create or replace task cleanup_{stream.name}\n"
        "    warehouse = identifier($warehouse_name)\n"
        f"    query_tag = 'adventure:cleanup_{stream.name}'\n"
        "    user_task_timeout_ms = 3600000\n"
        f"    after load_{stream.name}\n"
        "as\n"
        f"    call run_stage_task('cleanup', {arguments})",
        f"alter task cleanup_{stream.name} resume",
        f"alter task load_{stream.name} resume",
    ]


def _reporting(statement: str, integration: str) -> str:
    """Return the statement; one that creates a load also names the integration that Snowflake reports failures to."""
    if not integration or not statement.startswith("create or replace task load_"):
        return statement
    return statement.replace("\n    when ", f"\n    error_integration = {SNOWFLAKE.column(integration)}\n    when ", 1)


def split(script: str) -> Iterator[str]:
    """Yield the statements of a script, without the comments before them and without their semicolons."""
    statement = ""
    for token in _TOKEN.findall(script):
        if token == ";":
            yield statement.strip()
            statement = ""
        elif statement.strip() or not (token.startswith("--") or token.isspace()):
            statement += token


def _read(settings: Settings, *names: str) -> list[str]:
    found = []
    for name in names:
        path = settings.snowflake_dir / name
        if not path.is_file():
            raise ConfigError(
                f"There is no script {path}", "Set SNOWFLAKE_DIR, or run the command in the project's folder"
            )
        found += list(split(path.read_text(encoding="utf-8")))
    return [_located(settings, _renamed(settings, statement)) for statement in found]


def _renamed(settings: Settings, statement: str) -> str:
    """Return a statement of 0_names.sql with the name from the settings.

    Users and roles are not replaced: the settings name those that sign in, which may be others.
    """
    names = {
        "database_name": settings.snowflake_database,
        "warehouse_name": settings.snowflake_warehouse,
        "monitor_name": settings.snowflake_monitor,
    }
    found = re.fullmatch(r"set (\w+) = '[^']*'", statement)
    return f"set {found[1]} = {SNOWFLAKE.literal(names[found[1]])}" if found and found[1] in names else statement


def _located(settings: Settings, statement: str) -> str:
    """Return a PUT statement with the absolute path of its file, so that it runs from any folder."""
    found = re.match(r"put 'file://(snowflake|adventure)/", statement)
    if not found:
        return statement
    folder = settings.snowflake_dir if found[1] == "snowflake" else Path(adventure.__file__).parent
    return f"put 'file://{folder.resolve().as_posix()}/{statement[found.end() :]}"
