"""What dbt gets to sign in with: what belongs to the chosen way, and no other secret."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError
from adventure.destinations.snowflake import credentials
from adventure.destinations.snowflake.profile import profile_variables

TOKEN = "eyJh.eyJh.c2ln"
GIVEN = {
    "warehouse": "snowflake",
    "snowflake_account": "acme-sales",
    "snowflake_private_key_path": Path("dbt.p8"),
    "snowflake_private_key_passphrase": "phrase",
    "snowflake_token": "token",
    "snowflake_password": TOKEN,
    "snowflake_dbt_user": "ME",
    "snowflake_dbt_role": "MINE",
}


@pytest.fixture(autouse=True)
def _outside_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "CONTAINER_MARKS", ())


@pytest.mark.parametrize(
    ("way", "key", "phrase", "token", "password"),
    [
        ("keypair", str(Path("dbt.p8").resolve()), "phrase", "", ""),
        ("oauth", "", "", "token", ""),
        ("programmatic_access_token", "", "", "token", ""),
        ("externalbrowser", "", "", "", ""),
        ("username_password_mfa", "", "", "", TOKEN),
    ],
)
def test_each_way_gets_its_own_secrets(way: str, key: str, phrase: str, token: str, password: str) -> None:
    found = profile_variables(load_settings(**GIVEN, snowflake_authenticator=way), "run7")
    assert found["SNOWFLAKE_AUTHENTICATOR"] == way
    assert found["SNOWFLAKE_PRIVATE_KEY_PATH"] == key
    assert found["SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"] == phrase
    assert found["SNOWFLAKE_TOKEN"] == token
    assert found["SNOWFLAKE_PASSWORD"] == password


def test_it_signs_in_as_dbt_and_tags_its_statements() -> None:
    found = profile_variables(load_settings(**GIVEN), "run7")
    assert (found["SNOWFLAKE_DBT_USER"], found["SNOWFLAKE_DBT_ROLE"]) == ("ME", "MINE")
    assert found["SNOWFLAKE_ACCOUNT"] == "acme-sales"
    assert found["ADVENTURE_QUERY_TAG"] == "adventure:build:run7"


def test_the_profile_reads_every_variable() -> None:
    profiles = (Path(__file__).parents[2] / "dbt" / "profiles.yml").read_text(encoding="utf-8")
    unread = {name for name in profile_variables(load_settings(**GIVEN), "run7") if name not in profiles}
    assert unread == {"SNOWFLAKE_DISABLE_PLATFORM_DETECTION"}, "the connector reads that one"


def test_dbt_s_adapter_signs_in_with_the_second_factor() -> None:
    """It has no passcode: it takes the token that the connector has cached, or the account sends a push."""
    from dbt.adapters.snowflake.connections import SnowflakeCredentials

    found = profile_variables(load_settings(**GIVEN, snowflake_authenticator="username_password_mfa"), "run7")
    profile: dict[str, Any] = {
        "account": found["SNOWFLAKE_ACCOUNT"],
        "user": found["SNOWFLAKE_DBT_USER"],
        "database": "d",
        "schema": "s",
    }
    signing: dict[str, Any] = {
        "password": found["SNOWFLAKE_PASSWORD"],
        "authenticator": found["SNOWFLAKE_AUTHENTICATOR"],
    }
    arguments: dict[str, Any] = SnowflakeCredentials(**profile, **signing).auth_args()  # type: ignore[no-untyped-call]
    assert {key: arguments[key] for key in signing} == signing
    assert arguments["client_request_mfa_token"]


def test_the_profile_uses_the_password_with_a_second_factor_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same setting may hold a programmatic access token, which dbt gets as a token."""
    from dbt.clients.jinja import get_rendered

    profiles = yaml.safe_load((Path(__file__).parents[2] / "dbt" / "profiles.yml").read_text(encoding="utf-8"))
    password = profiles["adventure_snowflake"]["outputs"]["prod"]["password"]
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", "hunter2")
    for way, rendered in {"username_password_mfa": "hunter2", "programmatic_access_token": "", "": ""}.items():
        monkeypatch.setenv("SNOWFLAKE_AUTHENTICATOR", way)
        assert get_rendered(password, {"env_var": os.environ.get}) == rendered


def test_a_browser_opens_one_tab() -> None:
    """Each of dbt's threads signs in by itself."""
    profiles = yaml.safe_load((Path(__file__).parents[2] / "dbt" / "profiles.yml").read_text(encoding="utf-8"))
    threads = profiles["adventure_snowflake"]["outputs"]["prod"]["threads"]
    assert threads == "{{ env_var('SNOWFLAKE_THREADS', '4') | as_number }}"
    for way, number in {"externalbrowser": "1", "username_password_mfa": "1", "keypair": "4"}.items():
        found = profile_variables(load_settings(**GIVEN, snowflake_authenticator=way), "run7")
        assert found["SNOWFLAKE_THREADS"] == number


def test_a_container_has_no_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / ".dockerenv"
    mark.touch()
    monkeypatch.setattr(credentials, "CONTAINER_MARKS", (mark,))
    settings = load_settings(**GIVEN, snowflake_authenticator="externalbrowser")
    with pytest.raises(ConfigError, match=r"opens a browser .* a container has none.* key pair"):
        profile_variables(settings, "run7")
    # A port that the container publishes takes the browser's answer.
    monkeypatch.setenv("SF_AUTH_SOCKET_PORT", "3037")
    assert profile_variables(settings, "run7")["SNOWFLAKE_AUTHENTICATOR"] == "externalbrowser"
    mark.unlink()
    monkeypatch.delenv("SF_AUTH_SOCKET_PORT")
    assert profile_variables(settings, "run7")["SNOWFLAKE_AUTHENTICATOR"] == "externalbrowser"
