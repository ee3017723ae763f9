"""Tokens sign in, and people with a second factor; passwords of service users are refused, and no message shows one."""

import json
from pathlib import Path
from typing import Any

import pytest
from snowflake.connector.network import SnowflakeRestful

from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError
from adventure.core.settings import Settings
from adventure.destinations.snowflake.credentials import SnowflakeLogin
from adventure.destinations.snowflake.profile import profile_variables
from adventure.destinations.snowflake.session import connect_snowflake
from tests.snowflake.emulator import Emulator

TOKEN = "eyJraWQiOiIxMjM0NTYifQ.eyJwIjoiMSIsImlzcyI6IlNGIn0.c2lnbmF0dXJl-_"


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> dict[str, Any]:
    """The arguments with which the connector is called."""
    given: dict[str, Any] = {}
    monkeypatch.setattr("snowflake.connector.connect", given.update)
    return given


def account(**given: Any) -> Settings:
    return load_settings(warehouse="snowflake", snowflake_account="acme-sales", snowflake_user="ETL", **given)


@pytest.mark.parametrize(
    "given",
    [
        {"snowflake_password": TOKEN},
        {"snowflake_token": TOKEN, "snowflake_authenticator": "programmatic_access_token"},
        {"snowflake_token": TOKEN, "snowflake_authenticator": "PROGRAMMATIC_ACCESS_TOKEN"},
        {"snowflake_password": "another form", "snowflake_authenticator": "programmatic_access_token"},
    ],
)
def test_a_programmatic_access_token_signs_in(connected: dict[str, Any], given: dict[str, str]) -> None:
    settings = account(**given)
    connect_snowflake(settings)
    token = given.get("snowflake_token") or given["snowflake_password"]
    assert (connected["authenticator"], connected["token"]) == ("programmatic_access_token", token)
    assert "password" not in connected
    variables = profile_variables(settings, "run7")
    assert (variables["SNOWFLAKE_AUTHENTICATOR"], variables["SNOWFLAKE_TOKEN"]) == ("programmatic_access_token", token)


def test_the_connector_sends_the_token(emulator: Emulator, tmp_path: Path) -> None:
    settings = emulator.new_database("token_sign_in", tmp_path).model_copy(
        update={
            "snowflake_private_key_path": None,
            **dict(account(snowflake_password=TOKEN).model_dump(include={"snowflake_password"})),
        }
    )
    with connect_snowflake(settings) as session:
        assert session.cursor().execute("select 1").fetchall() == [(1,)]


def test_a_password_is_refused_and_not_shown(connected: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigError, match=r"accepts none from service users\. Put a programmatic access token.*username_password_mfa"
    ) as caught:
        connect_snowflake(account(snowflake_password="hunter2"))
    assert "hunter2" not in str(caught.value)


def test_a_person_signs_in_with_a_password_and_a_second_factor(connected: dict[str, Any]) -> None:
    person = {"snowflake_password": "hunter2", "snowflake_authenticator": "USERNAME_PASSWORD_MFA"}
    connect_snowflake(account(**person))
    signing = {"authenticator": "username_password_mfa", "password": "hunter2", "client_request_mfa_token": True}
    assert {name: connected[name] for name in signing} == signing
    assert not {"passcode", "token", "private_key"} & set(connected)
    connect_snowflake(account(**person, snowflake_passcode="123456"))
    assert connected["passcode"] == "123456"


def test_the_connector_sends_password_and_passcode_and_keeps_the_account_s_token(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second session sends the token of the first one, so that nobody is asked again."""
    monkeypatch.setenv("SF_TEMPORARY_CREDENTIAL_CACHE_DIR", str(tmp_path))
    sent: list[dict[str, Any]] = []

    def log_in(
        self: SnowflakeRestful, url: str, headers: object, body: str, *_: object, **__: object
    ) -> dict[str, Any]:
        sent.append(json.loads(body)["data"])
        session = {"token": "t", "masterToken": "m", "sessionId": 1, "parameters": [], "sessionInfo": {}}
        return {"success": True, "code": None, "message": None, "data": session | {"mfaToken": "kept for four hours"}}

    monkeypatch.setattr(SnowflakeRestful, "_post_request", log_in)
    person = {"snowflake_password": "hunter2", "snowflake_authenticator": "username_password_mfa"}
    settings = account(**person, snowflake_passcode="123456")
    for _ in range(2):
        connect_snowflake(settings)
    assert [(each["PASSWORD"], each["PASSCODE"]) for each in sent] == [("hunter2", "123456")] * 2
    assert [each["SESSION_PARAMETERS"]["CLIENT_REQUEST_MFA_TOKEN"] for each in sent] == [True, True]
    assert [each.get("TOKEN") for each in sent] == [None, "kept for four hours"]


def test_a_missing_password_of_a_person_is_named() -> None:
    with pytest.raises(ConfigError, match=r"username_password_mfa needs SNOWFLAKE_PASSWORD\. .*SNOWFLAKE_PASSCODE"):
        connect_snowflake(account(snowflake_authenticator="username_password_mfa"))


def test_a_missing_token_is_named() -> None:
    with pytest.raises(ConfigError, match="programmatic_access_token needs SNOWFLAKE_TOKEN or SNOWFLAKE_PASSWORD"):
        connect_snowflake(account(snowflake_authenticator="programmatic_access_token"))


def test_dbt_signs_in_as_the_token_s_user_unless_it_has_its_own() -> None:
    alone = account(snowflake_password=TOKEN, snowflake_role="LOADER")
    assert _who(SnowflakeLogin.of_dbt(alone)) == ("ETL", "LOADER")
    own = account(snowflake_password=TOKEN, snowflake_dbt_user="ME", snowflake_dbt_role="MINE")
    assert _who(SnowflakeLogin.of_dbt(own)) == ("ME", "MINE")
    person = account(snowflake_password="hunter2", snowflake_authenticator="username_password_mfa")
    assert _who(SnowflakeLogin.of_dbt(person)) == ("ETL", "ADVENTURE_LOADER")
    by_key = account(snowflake_private_key_path=Path("key.p8"))
    assert _who(SnowflakeLogin.of_dbt(by_key)) == ("ADVENTURE_DBT", "ADVENTURE_TRANSFORMER")


def _who(login: SnowflakeLogin) -> tuple[str, str]:
    return login.user, login.role
