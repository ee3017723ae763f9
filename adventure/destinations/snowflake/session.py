"""Connections to Snowflake, and what its refusals mean.

A service user signs in with a key pair, a person with a browser, a program of a platform with an OAuth token: never
with a password. A message names account, user and role, never a secret. This room knows no stage and no table.
"""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adventure.core.errors import ConfigError, WarehouseError, WarehouseRefused, WarehouseUnavailable
from adventure.core.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

LOGIN_TIMEOUT_SEC = 30
NETWORK_TIMEOUT_SEC = 120
"""How long the connector itself retries a statement that gets no answer."""
_BATCH = 10_000
"""Rows fetched at once."""


@dataclass(frozen=True)
class SnowflakeLogin:
    """The user that a session signs in as, and its role. Each signs in as SNOWFLAKE_AUTHENTICATOR says."""

    user: str
    role: str

    @classmethod
    def of_loader(cls, settings: Settings, *, role: str = "") -> "SnowflakeLogin":
        """Return SNOWFLAKE_USER with SNOWFLAKE_ROLE, or with another one of its roles."""
        return cls(settings.snowflake_user, role or settings.snowflake_role)

    @classmethod
    def of_dbt(cls, settings: Settings) -> "SnowflakeLogin":
        """Return the user and the role that build the models; they may read the raw tables."""
        return cls(settings.snowflake_dbt_user, settings.snowflake_dbt_role)


def connect_snowflake(
    settings: Settings, login: SnowflakeLogin | None = None, *, schema: str = "RAW_EXT", tag: str = ""
) -> "SnowflakeConnection":
    """A session in UTC, in the pipeline's database.

    Args:
        login: who signs in; default: the loader.
        schema: where names without a schema are looked for.
        tag: what stands in QUERY_TAG of each statement until it is set anew.

    Raises:
        ConfigError: the settings do not say how to sign in.
        WarehouseRefused: Snowflake says no: account, user, key, role.
        WarehouseUnavailable: it does not answer.
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
        # Whatever the account prefers: `timestamp` has no zone here, and what has one is printed in UTC.
        "session_parameters": {"TIMEZONE": "UTC", "TIMESTAMP_TYPE_MAPPING": "TIMESTAMP_NTZ", "QUERY_TAG": tag},
        **_account(settings, login),
        **_proof(settings),
    }
    with translating_snowflake(settings, login):
        session: SnowflakeConnection = connector.connect(**arguments)
        return session


Ask = Callable[[str, Sequence[object], str], list[tuple[Any, ...]]]
"""Runs a statement with values for its question marks and a QUERY_TAG; its rows."""


class SnowflakeSession:
    """One session, opened by the first statement and opened anew when it was lost."""

    def __init__(self, settings: Settings, login: SnowflakeLogin | None = None) -> None:
        self._settings = settings
        self.login = login or SnowflakeLogin.of_loader(settings)
        self._connection: SnowflakeConnection | None = None

    def ask(self, statement: str, values: Sequence[object], tag: str) -> list[tuple[Any, ...]]:
        """Runs one statement, tagged: `adventure:`, the task or stage, and where there is one, `:` and the run.

        Raises:
            WarehouseError: what Snowflake said, by what one can do about it.
        """
        return [row for batch in self.batches(statement, values, tag) for row in batch]

    def batches(self, statement: str, values: Sequence[object], tag: str) -> Iterator[list[tuple[Any, ...]]]:
        """The same, a batch of its rows after the other."""
        try:
            with translating_snowflake(self._settings, self.login):
                self._connection = self._connection or connect_snowflake(self._settings, self.login)
                with self._connection.cursor() as cursor:
                    # Of this statement alone: without a statement of its own, and whoever comes next is not mistaken.
                    cursor.execute(statement, list(values) or None, _statement_params={"QUERY_TAG": tag})
                    while batch := cursor.fetchmany(_BATCH):
                        yield batch
        except WarehouseUnavailable:
            self._connection = None
            raise


@contextmanager
def translating_snowflake(settings: Settings, login: SnowflakeLogin) -> Iterator[None]:
    """Turns the connector's errors within into the error tree's.

    Raises:
        WarehouseRefused: Snowflake says no.
        WarehouseUnavailable: it does not answer.
        WarehouseError: anything else that it says.
    """
    refused = _connector().errors.Error
    try:
        yield
    except refused as error:
        raise snowflake_error(error, settings, login) from error


def snowflake_error(error: Any, settings: Settings, login: SnowflakeLogin) -> WarehouseError:
    """Return the tree's error for what the connector raised.

    The error's number decides. Snowflake gives one number (such as 2003) to refusals that need different remedies, and
    the driver gives one (250001) to every login that failed, so the text is matched as well. Snowflake does not
    translate its texts.
    """
    where = f"Snowflake (account {settings.snowflake_account}, user {login.user})"
    text = " ".join(str(getattr(error, "raw_msg", None) or getattr(error, "msg", None) or error).split()).rstrip(".")
    number = int(getattr(error, "errno", -1) or -1)
    if found := re.search(r"Insufficient privileges to operate on ([\w ]+?) '([^']+)'", text):
        kind, name = found[1].strip(), found[2]
        return WarehouseRefused(
            f"{where}: the role {login.role} may not do that with {kind} {name}",
            f"grant {_PRIVILEGES.get(kind.lower(), 'usage')} on {kind} {name} to role {login.role}",
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

# By what one can do about it. Numbers of the connector and of the server; texts where several share a number.
_KNOWN: tuple[tuple[tuple[int, ...], str, str, str], ...] = (
    (
        (390144, *range(394300, 394307)),
        "JWT token (is invalid|has expired)",
        "the key does not belong to the user, or is no longer valid",
        "alter user {login.user} set rsa_public_key = '…' with the public half of SNOWFLAKE_PRIVATE_KEY_PATH",
    ),
    (
        (390186, 390189),
        "Role .* (does not exist|is not granted)",
        "the role {login.role} does not exist, or is not granted to the user",
        "grant role {login.role} to user {login.user}, or set SNOWFLAKE_ROLE",
    ),
    (
        (390100, 390303, 390318),
        "Incorrect username|token (is invalid|has expired)",
        "it refuses the user or the token",
        "Check SNOWFLAKE_USER and how it signs in (SNOWFLAKE_AUTHENTICATOR)",
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
        "grant usage on warehouse {s.snowflake_warehouse} to role {login.role}, and"
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
        "it lets nobody in from this machine's address: {text}",
        "Have the address added to the account's network policy, or to that of the user {login.user}",
    ),
    (
        (290403, 290404),
        "404 Not Found|HTTP 403",
        "there is no such account: {text}",
        "Check SNOWFLAKE_ACCOUNT (organisation-account, as in the address of your Snowflake), and that its network"
        " policy lets this machine in",
    ),
    (
        (250001, 250003, 251001),
        "Could not connect|Failed to connect",
        _AWAY,
        "Check SNOWFLAKE_ACCOUNT (organisation-account, as in the address of your Snowflake) and the network",
    ),
)


def _connector() -> Any:
    """Imported when it is needed: it is an extra, and takes a second.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            # Of versions of its own copy of requests, which nobody here chooses.
            warnings.simplefilter("ignore")
            import snowflake.connector
    except ImportError as error:
        raise ConfigError(
            "WAREHOUSE=snowflake needs Snowflake's connector, which is not installed",
            "Install the extra: pip install 'adventure[snowflake]'",
        ) from error
    return snowflake.connector


def _account(settings: Settings, login: SnowflakeLogin) -> dict[str, Any]:
    if not settings.snowflake_account or not login.user:
        raise ConfigError(
            "WAREHOUSE=snowflake needs SNOWFLAKE_ACCOUNT and SNOWFLAKE_USER",
            "Set them; docs/snowflake.md goes through it",
        )
    where: dict[str, Any] = {"account": settings.snowflake_account}
    if settings.snowflake_host:
        where |= {"host": settings.snowflake_host, "port": settings.snowflake_port}
        where["protocol"] = settings.snowflake_protocol
    return where


def _proof(settings: Settings) -> dict[str, Any]:
    """How the user proves who it is.

    Raises:
        ConfigError: what the chosen way needs is not set.
    """
    way = settings.snowflake_authenticator
    if settings.snowflake_password is not None:
        raise ConfigError(
            "SNOWFLAKE_PASSWORD is set, and Snowflake takes no passwords from service users",
            "Make a key pair and set SNOWFLAKE_PRIVATE_KEY_PATH instead; docs/snowflake.md has the three commands",
        )
    if way == "externalbrowser":
        return {"authenticator": "externalbrowser", "client_store_temporary_credential": True}
    if way == "oauth":
        if settings.snowflake_token is None:
            raise ConfigError("SNOWFLAKE_AUTHENTICATOR=oauth needs SNOWFLAKE_TOKEN", "Set it to the access token")
        return {"authenticator": "oauth", "token": settings.snowflake_token.get_secret_value()}
    return {"authenticator": "SNOWFLAKE_JWT", "private_key": _private_key(settings)}


def _private_key(settings: Settings) -> bytes:
    """The key as the connector takes it.

    Raises:
        ConfigError: there is none, it cannot be read, or the passphrase does not open it.
    """
    from cryptography.hazmat.primitives import serialization

    path = settings.snowflake_private_key_path
    if path is None:
        raise ConfigError(
            "SNOWFLAKE_AUTHENTICATOR=keypair needs SNOWFLAKE_PRIVATE_KEY_PATH",
            "Set it to the file of the private key; docs/snowflake.md has the commands that make one",
        )
    phrase = settings.snowflake_private_key_passphrase
    try:
        key = serialization.load_pem_private_key(
            path.read_bytes(), phrase.get_secret_value().encode() if phrase else None
        )
    except OSError as error:
        raise ConfigError(
            f"The private key {path} cannot be read: {error.strerror}", "Check the path, and whose it is"
        ) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"The private key {path} cannot be opened: it is no PEM key, or its passphrase is another one",
            "Check the file and SNOWFLAKE_PRIVATE_KEY_PASSPHRASE",
        ) from error
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
