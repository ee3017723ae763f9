"""snowflake/*.sql as statements, with the names that the settings give, and the like for streams of one's own.

The files are what a person reads and runs in a worksheet; `deploy` runs their very text.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import adventure
from adventure.core.errors import ConfigError
from adventure.core.settings import Settings
from adventure.core.streams import Stream

Trigger = Literal["scheduled", "triggered"]

_SETUP = ("0_names.sql", "1_setup.sql", "2_raw_tables.sql", "3_load_stages.sql")
_TEARDOWN = ("0_names.sql", "9_destroy.sql")
# A body, a text, a comment, a semicolon, or whatever stands between them.
_TOKEN = re.compile(r"\$\$.*?\$\$|'(?:[^'\\]|\\.)*'|--[^\n]*\n?|;|[^;'$-]+|.", re.DOTALL)
SHIPPED = ("orders", "order_details", "chat_logs")
"""The streams that the files speak of."""


def deployment(settings: Settings, streams: Sequence[Stream], trigger: Trigger) -> list[str]:
    """All statements that set the pipeline up, in their order; each may be run again.

    Raises:
        ConfigError: the scripts are not there.
    """
    statements = _read(settings, *_SETUP)
    others = [stream for stream in streams if stream.name not in SHIPPED]
    statements += [statement for stream in others for statement in stage_statements(stream)]
    statements += _read(settings, f"4_tasks_{trigger}.sql")
    statements += [statement for stream in others for statement in task_statements(stream, trigger)]
    return statements + _read(settings, "5_dashboard.sql")


def teardown(settings: Settings) -> list[str]:
    """All statements that remove it, rows included.

    Raises:
        ConfigError: the scripts are not there.
    """
    return _read(settings, *_TEARDOWN)


def name_of(settings: Settings, variable: str) -> str:
    """What `0_names.sql` calls something, for example `owner_role`.

    Raises:
        ConfigError: the script is not there, or has no such variable.
    """
    for statement in _read(settings, "0_names.sql"):
        if found := re.fullmatch(rf"set {variable} = '([^']*)'", statement):
            return found[1]
    raise ConfigError(f"0_names.sql in {settings.snowflake_dir} does not set {variable}", "Take the file as it was")


def stage_statements(stream: Stream) -> list[str]:
    """What 2_raw_tables.sql says for a stream: its stage. Its raw table is made by its first load."""
    return [
        f"create stage if not exists {stream.stage}\n"
        "    encryption = (type = 'SNOWFLAKE_SSE')\n"
        "    directory = (enable = true)",
        f"grant read, write on stage {stream.stage} to role identifier($loader_role)",
        f"create stream if not exists {stream.stage}_files on stage {stream.stage}",
    ]


def task_statements(stream: Stream, trigger: Trigger) -> list[str]:
    """What 4_tasks_*.sql says for a stream: a load, a cleanup after it, and both resumed."""
    key = ", ".join(map(_literal, stream.key))
    layout = "documents" if stream.documents else "columns"
    arguments = (
        f"{_literal(stream.name)}, '{layout}', '{stream.stage}', '{stream.raw_table}',"
        f" array_construct({key}), {_literal(stream.cursor)}"
    )
    schedule = "    schedule = 'USING CRON 0 * * * * UTC'\n" if trigger == "scheduled" else ""
    return [
        f"create or replace task load_{stream.name}\n"
        "    warehouse = identifier($warehouse_name)\n"
        f"{schedule}"
        f"    query_tag = 'adventure:load_{stream.name}'\n"
        "    user_task_timeout_ms = 3600000\n"
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


def split(script: str) -> Iterator[str]:
    """The statements of a script, without the comments before them and without their semicolons."""
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
            raise ConfigError(f"There is no script {path}", "Set SNOWFLAKE_DIR, or run where the project stands")
        found += list(split(path.read_text(encoding="utf-8")))
    return [_located(settings, _renamed(settings, statement)) for statement in found]


def _renamed(settings: Settings, statement: str) -> str:
    """The names of 0_names.sql, where the settings give others. Not users and roles: those of the settings sign in."""
    names = {
        "database_name": settings.snowflake_database,
        "warehouse_name": settings.snowflake_warehouse,
        "monitor_name": settings.snowflake_monitor,
    }
    found = re.fullmatch(r"set (\w+) = '[^']*'", statement)
    return f"set {found[1]} = {_literal(names[found[1]])}" if found and found[1] in names else statement


def _located(settings: Settings, statement: str) -> str:
    """Where the file is that a PUT names, in the project's folder: in ours, wherever the command is run."""
    found = re.match(r"put 'file://(snowflake|adventure)/", statement)
    if not found:
        return statement
    folder = settings.snowflake_dir if found[1] == "snowflake" else Path(adventure.__file__).parent
    return f"put 'file://{folder.resolve().as_posix()}/{statement[found.end() :]}"


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
