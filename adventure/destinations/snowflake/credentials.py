"""How a session signs in to Snowflake.

A service user signs in with a key pair or a programmatic access token, a person with a browser or a password and a
second factor, and a platform's program with an OAuth token.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adventure.core.errors import ConfigError
from adventure.core.settings import Settings

ACCESS_TOKEN = "programmatic_access_token"
MFA = "username_password_mfa"
WITH_TOKEN = ("oauth", ACCESS_TOKEN)
"""The authenticators that need a token."""
ASKING = ("externalbrowser", MFA)
"""The authenticators that ask a person at each sign-in, unless the account lets the connector keep it."""

CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""Files that Docker and Podman create in every container."""

_TOKEN_FORM = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
"""A programmatic access token is a signed JSON document (JWT)."""


def authenticator_of(settings: Settings) -> str:
    """Return SNOWFLAKE_AUTHENTICATOR, or `programmatic_access_token` where SNOWFLAKE_PASSWORD holds such a token.

    Raises:
        ConfigError: SNOWFLAKE_PASSWORD is a password, or this is a container, where no browser can open.
    """
    way = settings.snowflake_authenticator
    if way == "externalbrowser":
        _check_browser()
    if settings.snowflake_password is None or way in (ACCESS_TOKEN, MFA):
        return way
    if not _TOKEN_FORM.fullmatch(settings.snowflake_password.get_secret_value()):
        raise ConfigError(
            "SNOWFLAKE_PASSWORD holds a password, and Snowflake accepts none from service users",
            "Put a programmatic access token there (its text begins with eyJ); or create a key pair and set"
            " SNOWFLAKE_PRIVATE_KEY_PATH instead: docs/snowflake.md has the commands. A person with a second"
            f" factor sets SNOWFLAKE_AUTHENTICATOR={MFA}",
        )
    uses_key = way == "keypair" and settings.snowflake_private_key_path is not None
    return way if uses_key or way in ("oauth", "externalbrowser") else ACCESS_TOKEN


def _check_browser() -> None:
    """Raise ConfigError in a container: the browser would send its answer to a port that only the container has.

    SF_AUTH_SOCKET_PORT is the connector's variable for a port that the container publishes.
    """
    if any(mark.exists() for mark in CONTAINER_MARKS) and not os.environ.get("SF_AUTH_SOCKET_PORT"):
        raise ConfigError(
            "SNOWFLAKE_AUTHENTICATOR=externalbrowser opens a browser on this machine, and a container has none",
            "Use a key pair (SNOWFLAKE_PRIVATE_KEY_PATH) or a programmatic access token (SNOWFLAKE_PASSWORD)",
        )


def token_of(settings: Settings, way: str) -> str:
    """Return the token for an authenticator that needs one.

    Raises:
        ConfigError: none is set.
    """
    in_password = settings.snowflake_password if way == ACCESS_TOKEN else None
    token = settings.snowflake_token or in_password
    if token is None:
        also = " or SNOWFLAKE_PASSWORD" if way == ACCESS_TOKEN else ""
        raise ConfigError(f"SNOWFLAKE_AUTHENTICATOR={way} needs SNOWFLAKE_TOKEN{also}", "Set it to the token")
    return token.get_secret_value()


def password_of(settings: Settings) -> str:
    """Return the person's password for `username_password_mfa`.

    Raises:
        ConfigError: none is set.
    """
    if settings.snowflake_password is None:
        raise ConfigError(
            f"SNOWFLAKE_AUTHENTICATOR={MFA} needs SNOWFLAKE_PASSWORD",
            "Set it to your password, and SNOWFLAKE_PASSCODE to the current code if you do not approve a push",
        )
    return settings.snowflake_password.get_secret_value()


def dbt_user_and_role(settings: Settings) -> tuple[str, str]:
    """Return SNOWFLAKE_DBT_USER and SNOWFLAKE_DBT_ROLE.

    A programmatic access token or a password belongs to one user. With it, a setting that is not given means that of
    the processor.
    """
    given = settings.model_fields_set
    one_user = authenticator_of(settings) in (ACCESS_TOKEN, MFA)
    user = settings.snowflake_user if one_user and "snowflake_dbt_user" not in given else settings.snowflake_dbt_user
    role = settings.snowflake_role if one_user and "snowflake_dbt_role" not in given else settings.snowflake_dbt_role
    return user, role


def sign_in(settings: Settings) -> dict[str, Any]:
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
