"""The tier that needs an account: the contract's tests run against it when SNOWFLAKE_ACCOUNT is set.

Else they are reported as skipped.

It has a database of its own, so that no real row is touched. Once, as somebody who may deploy:

    SNOWFLAKE_DATABASE=ADVENTURE_TEST adventure snowflake deploy

and then, as a user who has the role ADVENTURE_OWNER, since stages and tasks are made for a stream of the tests:

    SNOWFLAKE_ACCOUNT=… SNOWFLAKE_USER=… SNOWFLAKE_PRIVATE_KEY_PATH=… \\
        make test TEST_ARGS=tests/warehouse/test_contract.py
"""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from adventure.core.environment import load_settings
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.snowflake.scripts import stage_statements, task_statements
from adventure.destinations.snowflake.session import connect_snowflake

needs_account = pytest.mark.skipif(
    not os.environ.get("SNOWFLAKE_ACCOUNT"), reason="needs a Snowflake account: SNOWFLAKE_ACCOUNT is not set"
)
_DATABASE = "ADVENTURE_TEST"
_EMPTIED = ("load_history", "rejected_rows", "task_history", "last_whole_build", "chat_logs_raw")


def empty_account(streams: Sequence[Stream], data_dir: Path) -> Settings:
    """The account's database of the tests, with these streams deployed, nothing staged and nothing loaded."""
    signs_in = load_settings(warehouse="snowflake", data_dir=data_dir, snowflake_database=_DATABASE)
    owner = {"snowflake_role": "ADVENTURE_OWNER", "snowflake_dbt_role": "ADVENTURE_OWNER"}
    settings = signs_in.model_copy(update={**owner, "snowflake_dbt_user": signs_in.snowflake_user})
    with connect_snowflake(settings) as connection, connection.cursor() as cursor:
        cursor.execute(f"set warehouse_name = '{settings.snowflake_warehouse}'")
        cursor.execute("set loader_role = 'ADVENTURE_LOADER'")
        cursor.execute("drop table if exists raw_ext.things_raw")
        for table in _EMPTIED:
            cursor.execute(f"truncate table raw_ext.{table}")
        for stream in streams:
            for statement in stage_statements(stream):
                cursor.execute(statement)
            cursor.execute(f"remove @raw_ext.{stream.stage}")
            # Made and not resumed: the tests alone run them. A follower is skipped while it is suspended.
            load, cleanup, resumed, _ = task_statements(stream, "scheduled")
            unconditional = "\n".join(line for line in load.splitlines() if not line.strip().startswith("when "))
            for statement in (unconditional, cleanup, resumed):
                cursor.execute(statement)
    return settings
