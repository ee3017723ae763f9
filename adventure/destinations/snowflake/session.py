"""Open sessions at Snowflake, and run statements in them."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from adventure.core.errors import ConfigError, WarehouseUnavailable
from adventure.core.settings import Settings
from adventure.destinations.snowflake.credentials import SnowflakeLogin, sign_in
from adventure.destinations.snowflake.refusals import connector_package, translating_snowflake

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

LOGIN_TIMEOUT_SEC = 30
NETWORK_TIMEOUT_SEC = 120
"""How long the connector retries a statement that gets no answer."""
_BATCH = 10_000
"""Rows in one batch."""


def connect_snowflake(
    settings: Settings, login: SnowflakeLogin | None = None, *, schema: str = "RAW_EXT", tag: str = ""
) -> "SnowflakeConnection":
    """Open a session in UTC, in the pipeline's database.

    Args:
        login: the user and role; by default SNOWFLAKE_USER and SNOWFLAKE_ROLE.
        schema: the schema of names without one.
        tag: the QUERY_TAG of statements that do not set their own.

    Raises:
        ConfigError: a setting for signing in is missing or wrong.
        WarehouseRefused: Snowflake refuses the account, user, key or role.
        WarehouseUnavailable: Snowflake does not answer.
    """
    connector = connector_package()
    login = login or SnowflakeLogin.of_loader(settings)
    arguments = {
        "user": login.user,
        "role": login.role,
        "warehouse": settings.snowflake_warehouse,
        "database": settings.snowflake_database,
        "schema": schema,
        "application": "Adventure",
        "paramstyle": "qmark",
        "login_timeout": LOGIN_TIMEOUT_SEC,
        "network_timeout": NETWORK_TIMEOUT_SEC,
        # Otherwise each login first asks the metadata services of three clouds where it runs.
        "platform_detection_timeout_seconds": 0.0,
        # Override the account's defaults: `timestamp` has no zone, and timestamps with a zone are printed in UTC.
        "session_parameters": {"TIMEZONE": "UTC", "TIMESTAMP_TYPE_MAPPING": "TIMESTAMP_NTZ", "QUERY_TAG": tag},
        **_account(settings, login),
        **sign_in(settings),
    }
    with translating_snowflake(settings, login):
        session: SnowflakeConnection = connector.connect(**arguments)
        return session


TaggedExecute = Callable[[str, Sequence[object], str], list[tuple[Any, ...]]]
"""Runs a statement with values for its question marks and a QUERY_TAG, and returns its rows."""


class SnowflakeSession:
    """One session. The first statement opens it, and the next one reopens it after it was lost."""

    def __init__(self, settings: Settings, login: SnowflakeLogin | None = None) -> None:
        self._settings = settings
        self.login = login or SnowflakeLogin.of_loader(settings)
        self._connection: SnowflakeConnection | None = None

    def execute(self, statement: str, values: Sequence[object], tag: str) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows.

        Args:
            tag: its QUERY_TAG: `adventure:`, the task or stage, and `:` with the run or window where there is one.

        Raises:
            WarehouseError: Snowflake refuses, does not answer, or the statement failed.
        """
        return [row for batch in self.batches(statement, values, tag) for row in batch]

    def batches(self, statement: str, values: Sequence[object], tag: str) -> Iterator[list[tuple[Any, ...]]]:
        """Run one statement and yield its rows in batches; see `execute`."""
        try:
            with translating_snowflake(self._settings, self.login):
                self._connection = self._connection or connect_snowflake(self._settings, self.login)
                with self._connection.cursor() as cursor:
                    # Set QUERY_TAG per statement: it cannot leak into the next one, and costs no extra round trip.
                    cursor.execute(statement, list(values) or None, _statement_params={"QUERY_TAG": tag})
                    while batch := cursor.fetchmany(_BATCH):
                        yield batch
        except WarehouseUnavailable:
            self._connection = None
            raise


def _account(settings: Settings, login: SnowflakeLogin) -> dict[str, Any]:
    if not settings.snowflake_account or not login.user:
        raise ConfigError(
            "WAREHOUSE=snowflake needs SNOWFLAKE_ACCOUNT and SNOWFLAKE_USER",
            "Set them; docs/snowflake.md has the steps",
        )
    where: dict[str, Any] = {"account": settings.snowflake_account}
    if settings.snowflake_host:
        where |= {"host": settings.snowflake_host, "port": settings.snowflake_port}
        where["protocol"] = settings.snowflake_protocol
    return where
