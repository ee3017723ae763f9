"""Translate the errors of Snowflake's connector into messages with a remedy. They never name a secret."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from adventure.core.errors import WarehouseError, WarehouseRefused, WarehouseUnavailable
from adventure.core.extras import missing
from adventure.core.settings import Settings
from adventure.destinations.snowflake.credentials import SnowflakeLogin


@contextmanager
def translating_snowflake(settings: Settings, login: SnowflakeLogin) -> Iterator[None]:
    """Translate the connector's errors within the block into the errors of `adventure.core.errors`.

    Raises:
        WarehouseRefused: Snowflake refuses.
        WarehouseUnavailable: Snowflake does not answer.
        WarehouseError: any other error.
    """
    refused = connector_package().errors.Error
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


def connector_package() -> Any:
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
