"""What every session sets for itself, whatever the account prefers: times have no zone of their own, and are UTC."""

from pathlib import Path
from typing import Any

import pytest
from snowflake.connector import platform_detection
from snowflake.connector.constants import ENV_VAR_DISABLE_PLATFORM_DETECTION

from adventure.core.environment import load_settings
from adventure.core.settings import Settings
from adventure.destinations.snowflake.profile import profile_variables
from adventure.destinations.snowflake.scripts import deployment
from adventure.destinations.snowflake.session import connect_snowflake
from tests.snowflake.emulator import Emulator

ROOT = Path(__file__).parents[2]


def test_of_the_connector(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("snowflake.connector.connect", given.update)
    connect_snowflake(
        load_settings(warehouse="snowflake", snowflake_account="acme-sales", snowflake_private_key_path=emulator.key),
        tag="adventure:test",
    )
    assert given["session_parameters"] == {
        "TIMEZONE": "UTC",
        "TIMESTAMP_TYPE_MAPPING": "TIMESTAMP_NTZ",
        "QUERY_TAG": "adventure:test",
    }


def test_a_login_asks_no_other_service_where_it_runs(
    snowflake_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connector asks the metadata services of three clouds, unless it is told not to."""
    asked: list[str] = []
    for name in ("is_ec2_instance", "is_azure_vm", "is_gce_vm", "has_aws_identity", "has_gcp_identity"):
        monkeypatch.setattr(platform_detection, name, lambda *_, name=name: asked.append(name))
    platform_detection.detect_platforms.cache_clear()
    connect_snowflake(snowflake_settings).close()
    assert asked == []


def test_dbts_logins_ask_no_other_service_either(snowflake_settings: Settings) -> None:
    assert profile_variables(snowflake_settings, "1")[ENV_VAR_DISABLE_PLATFORM_DETECTION] == "true"


def test_of_the_service_users_for_dbt_and_the_tasks() -> None:
    statements = deployment(load_settings(snowflake_dir=ROOT / "snowflake"), (), "scheduled")
    for user in ("loader_user", "transformer_user"):
        made = next(n for n, text in enumerate(statements) if f"create user if not exists identifier(${user})" in text)
        mapped = statements.index(f"alter user identifier(${user}) set timestamp_type_mapping = 'TIMESTAMP_NTZ'")
        assert made < mapped


def test_the_procedure_and_the_tables_name_the_type() -> None:
    """They run as the tasks' owner, whose session nobody sets."""
    for name in ("2_raw_tables.sql", "3_load_stages.sql"):
        text = (ROOT / "snowflake" / name).read_text(encoding="utf-8").lower()
        bare = [line for line in text.splitlines() if " as timestamp)" in line or "::timestamp " in line]
        assert bare == []
