"""What dbt gets to sign in with: what belongs to the chosen way, and no other secret."""

from pathlib import Path

import pytest

from adventure.core.settings import load_settings
from adventure.destinations.snowflake.profile import profile_variables

GIVEN = {
    "warehouse": "snowflake",
    "snowflake_account": "acme-sales",
    "snowflake_private_key_path": Path("dbt.p8"),
    "snowflake_private_key_passphrase": "phrase",
    "snowflake_token": "token",
    "snowflake_dbt_user": "ME",
    "snowflake_dbt_role": "MINE",
}


@pytest.mark.parametrize(
    ("way", "key", "phrase", "token"),
    [
        ("keypair", str(Path("dbt.p8").resolve()), "phrase", ""),
        ("oauth", "", "", "token"),
        ("externalbrowser", "", "", ""),
    ],
)
def test_each_way_gets_its_own_secrets(way: str, key: str, phrase: str, token: str) -> None:
    found = profile_variables(load_settings(**GIVEN, snowflake_authenticator=way), "run7")
    assert found["SNOWFLAKE_AUTHENTICATOR"] == way
    assert found["SNOWFLAKE_PRIVATE_KEY_PATH"] == key
    assert found["SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"] == phrase
    assert found["SNOWFLAKE_TOKEN"] == token


def test_it_signs_in_as_dbt_and_tags_its_statements() -> None:
    found = profile_variables(load_settings(**GIVEN), "run7")
    assert (found["SNOWFLAKE_DBT_USER"], found["SNOWFLAKE_DBT_ROLE"]) == ("ME", "MINE")
    assert found["SNOWFLAKE_ACCOUNT"] == "acme-sales"
    assert found["ADVENTURE_QUERY_TAG"] == "adventure:build:run7"


def test_the_profile_reads_every_variable() -> None:
    profiles = (Path(__file__).parents[2] / "dbt" / "profiles.yml").read_text(encoding="utf-8")
    unread = {name for name in profile_variables(load_settings(**GIVEN), "run7") if name not in profiles}
    assert unread == {"SNOWFLAKE_DISABLE_PLATFORM_DETECTION"}, "the connector reads that one"
