"""Connects to Snowflake, and translates its errors into messages with a remedy.

A service user signs in with a key pair or a programmatic access token, a person with a browser or a password and a
second factor, and a platform's program with an OAuth token. Messages name account, user and role, and never a secret.
"""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adventure.core.errors import ConfigError, WarehouseError, WarehouseRefused, WarehouseUnavailable
from adventure.core.extras import missing
from adventure.core.settings import Settings
from adventure.destinations.snowflake.credentials import (
    MFA,
    WITH_TOKEN,
    authenticator_of,
    dbt_user_and_role,
    password_of,
    token_of,
)

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

LOGIN_TIMEOUT_SEC = 30
NETWORK_TIMEOUT_SEC = 120
"""How long the connector retries a statement that gets no answer."""
_BATCH = 10_000
"""Rows in one batch."""


@dataclass(frozen=True)
class SnowflakeLogin:
    """The user and role of a session. SNOWFLAKE_AUTHENTICATOR says how every user signs in."""

    user: str
    role: str
    chosen_by: str = "SNOWFLAKE_ROLE"
    """The setting or option that names the role."""

    @classmethod
    def of_loader(cls, settings: Settings, *, role: str = "") -> "SnowflakeLogin":
        """Return SNOWFLAKE_USER with SNOWFLAKE_ROLE or the given role."""
        if role:
            return cls(settings.snowflake_user, role, "--as")
        return cls(settings.snowflake_user, settings.snowflake_role)

    @classmethod
    def of_dbt(cls, settings: Settings) -> "SnowflakeLogin":
        """Return dbt's user and role, which may read the raw tables."""
        return cls(*dbt_user_and_role(settings), "SNOWFLAKE_DBT_ROLE")


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
    connector = _connector()
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
        **_credentials(settings),
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


@contextmanager
def translating_snowflake(settings: Settings, login: SnowflakeLogin) -> Iterator[None]:
    """Translate the connector's errors within the block into the errors of `adventure.core.errors`.

    Raises:
        WarehouseRefused: Snowflake refuses.
        WarehouseUnavailable: Snowflake does not answer.
        WarehouseError: any other error.
    """
    refused = _connector().errors.Error
    try:
        yield
    except refused as error:
        raise snowflake_error(error, settings, login) from error


def snowflake_error(error: Any, settings: Settings, login: SnowflakeLogin) -> WarehouseError:
    """Return the error of `adventure.core.errors` for an error that the connector raised.

    The error's number decides. Snowflake gives one number (such as 2003) to refusals that need different remedies, and
    the driver gives one (250001) to every failed sign-in, so the text is matched as well. Snowflake does not translate
    its texts.
    """
    where = f"Snowflake (account {settings.snowflake_account}, user {login.user})"
    text = " ".join(str(getattr(error, "raw_msg", None) or getattr(error, "msg", None) or error).split()).rstrip(".")
    number = int(getattr(error, "errno", -1) or -1)
    if found := re.search(r"Insufficient privileges to operate on ([\w ]+?) '([^']+)'", text):
        kind, name = found[1].strip(), found[2]
        return WarehouseRefused(
            f"{where}: the role {login.role} lacks a privilege on {kind} {name}",
            f"Run: grant {_PRIVILEGES.get(kind.lower(), 'usage')} on {kind} {name} to role {login.role}",
        )
    for numbers, sign, problem, remedy in _KNOWN:
        if number in numbers or (sign and re.search(sign, text, re.IGNORECASE)):
            kind = WarehouseUnavailable if problem is _AWAY else WarehouseRefused
            return kind(
                f"{where}: {problem.format(text=text, s=settings, login=login)}", remedy.format(s=settings, login=login)
            )
    return WarehouseError(f"{where} failed: {text}", "")


_PRIVILEGES = {
    "stage": "read, write",
    "table": "select",
    "view": "select",
    "task": "operate, monitor",
    "schema": "usage",
    "database": "usage",
    "warehouse": "usage, operate",
    "procedure": "usage",
}

_AWAY = "does not answer: {text}"

# Error numbers of the connector and of the server, a pattern where several causes share a number, problem and remedy.
_KNOWN: tuple[tuple[tuple[int, ...], str, str, str], ...] = (
    (
        (390144, *range(394300, 394307)),
        "JWT token (is invalid|has expired)",
        "the key does not belong to the user, or is no longer valid",
        "Run: alter user {login.user} set rsa_public_key = '…', with the public half of SNOWFLAKE_PRIVATE_KEY_PATH",
    ),
    (
        (390186, 390189),
        "Role .* (does not exist|is not granted)",
        "the role {login.role} does not exist, or is not granted to the user",
        "Run: grant role {login.role} to user {login.user}, or name another role with {login.chosen_by}",
    ),
    # Snowflake has several numbers for this, and the driver makes 250001 of some.
    (
        (),
        r"\bpasscode\b|\bMFA\b|multi-factor|\bDuo\b",
        "the second factor is missing, wrong or was used before: {text}",
        "Set SNOWFLAKE_AUTHENTICATOR=username_password_mfa, SNOWFLAKE_PASSWORD, and SNOWFLAKE_PASSCODE to the code that"
        " your authenticator app shows now; or approve the push. So that it is asked once in four hours, an"
        " administrator runs: alter account set allow_client_mfa_caching = true",
    ),
    (
        (390100, 390303, 390318),
        "Incorrect username|token (is invalid|has expired)",
        "it refuses the user or the token",
        "Check SNOWFLAKE_USER and how it signs in (SNOWFLAKE_AUTHENTICATOR)",
    ),
    (
        (391529,),
        "Anaconda terms must be accepted",
        "nobody has accepted the terms of Anaconda, from which the packages of the load procedure come",
        "Accept them once with the role ORGADMIN in Snowsight (Admin, Billing & Terms, Anaconda); then deploy again",
    ),
    (
        (90073,),
        "exceeded its quota",
        "the credit quota of the month is used up, and the warehouse {s.snowflake_warehouse} stays suspended",
        "Wait for the next month, or raise credit_quota of the resource monitor",
    ),
    (
        (606,),
        "No active warehouse|warehouse .* is suspended",
        "the warehouse {s.snowflake_warehouse} does not exist, is suspended, or may not be used by {login.role}",
        "Run: grant usage on warehouse {s.snowflake_warehouse} to role {login.role}, and"
        " alter warehouse {s.snowflake_warehouse} set auto_resume = true",
    ),
    (
        (2003, 2043, 90105, 390201),
        "does not exist or not authorized|does not have a current (database|schema)",
        "{text}",
        "Run `adventure snowflake deploy`, or grant the role {login.role} its privileges (snowflake/1_setup.sql)",
    ),
    (
        (390422,),
        "is not allowed to access Snowflake",
        "it refuses connections from this machine's address: {text}",
        "Add the address to the network policy of the account or of the user {login.user}",
    ),
    (
        (290403, 290404),
        "404 Not Found|HTTP 403",
        "there is no such account: {text}",
        "Check SNOWFLAKE_ACCOUNT (organisation-account, as in the address of your Snowflake), and that its network"
        " policy allows this machine",
    ),
    (
        (250001, 250003, 251001),
        "Could not connect|Failed to connect",
        _AWAY,
        "Check SNOWFLAKE_ACCOUNT (organisation-account, as in the address of your Snowflake) and the network",
    ),
)


def _connector() -> Any:
    """Import the connector when it is needed: it belongs to an extra, and its import takes a second.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            # It warns about the versions of its own copy of requests, which users cannot choose.
            warnings.simplefilter("ignore")
            import snowflake.connector
    except ImportError as error:
        raise missing("WAREHOUSE=snowflake", "snowflake-connector-python", "snowflake") from error
    return snowflake.connector


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


def _credentials(settings: Settings) -> dict[str, Any]:
    """Return the connector's arguments for signing in.

    Raises:
        ConfigError: a setting that it needs is missing.
    """
    way = authenticator_of(settings)
    if way == "externalbrowser":
        return {"authenticator": "externalbrowser", "client_store_temporary_credential": True}
    if way == MFA:
        # The connector keeps the account's token for the second factor, so that the next session does not ask for it.
        found = {"authenticator": MFA, "password": password_of(settings), "client_request_mfa_token": True}
        passcode = settings.snowflake_passcode
        return found | ({"passcode": passcode.get_secret_value()} if passcode else {})
    if way in WITH_TOKEN:
        return {"authenticator": way, "token": token_of(settings, way)}
    return {"authenticator": "SNOWFLAKE_JWT", "private_key": _private_key(settings)}


def _private_key(settings: Settings) -> bytes:
    """Return the private key in the connector's format.

    Raises:
        ConfigError: the key is not set, cannot be read, or the passphrase does not open it.
    """
    from cryptography.hazmat.primitives import serialization

    path = settings.snowflake_private_key_path
    if path is None:
        raise ConfigError(
            "SNOWFLAKE_AUTHENTICATOR=keypair needs SNOWFLAKE_PRIVATE_KEY_PATH",
            "Set it to the file of the private key; docs/snowflake.md has the commands that create one",
        )
    phrase = settings.snowflake_private_key_passphrase
    try:
        key = serialization.load_pem_private_key(
            path.read_bytes(), phrase.get_secret_value().encode() if phrase else None
        )
    except OSError as error:
        raise ConfigError(
            f"The private key {path} cannot be read: {error.strerror}",
            "Check the path, and that this user may read the file",
        ) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"The private key {path} cannot be opened: it is no PEM key, or its passphrase differs",
            "Check the file and SNOWFLAKE_PRIVATE_KEY_PASSPHRASE",
        ) from error
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
