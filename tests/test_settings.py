"""Test which settings are read and refused, and that no secret is shown."""

import re
from pathlib import Path

import pymongo.uri_parser
import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from adventure.core.ages import parse_duration
from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError
from adventure.core.settings import Settings

EXAMPLE = Path(__file__).parent.parent / ".env.example"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Isolate the tests from the developer's variables and from a .env in the working directory."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "my.env").write_text("POSTGRES_HOST=file\nPOSTGRES_DB=sales\n")
    monkeypatch.setenv("POSTGRES_HOST", "environment")
    settings = load_settings(tmp_path / "my.env")
    assert (settings.postgres_host, settings.postgres_db) == ("environment", "sales")


def test_dot_env_is_read_by_default(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MONGO_DB=elsewhere\n")
    assert load_settings().mongo_db == "elsewhere"


def test_missing_env_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.env does not exist"):
        load_settings(tmp_path / "absent.env")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTGRES_PORT", "many"),
        ("POSTGRES_PORT", "70000"),
        ("ORDER_BATCH_SIZE", "0"),
        ("GENERATION_INTERVAL_SEC", "-1"),
        ("WAREHOUSE", "bigquery"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_malformed_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name):
        load_settings()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("POSTGRES_PORT=70000", "POSTGRES_PORT must be 65535 or less (from .env)"),
        ("MONGO_TLS=perhaps", "MONGO_TLS must be true or false (from .env)"),
        ("LOG_FORMAT=xml", "LOG_FORMAT must be 'text' or 'json' (from .env)"),
        ("POSTGRES_SSLROOTCERT=/absent.pem", "POSTGRES_SSLROOTCERT must be the path of a file, and there is no such"),
        ("HASH_KEY=hunter2", "HASH_KEY must have a length of at least 16 (from .env)"),
    ],
)
def test_a_malformed_value_is_named_with_its_form_and_origin(line: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"{line}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert sentence in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_all_malformed_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PORT", "x")
    monkeypatch.setenv("MONGO_PORT", "y")
    with pytest.raises(ConfigError, match=r"POSTGRES_PORT.*MONGO_PORT"):
        load_settings()


def test_an_empty_value_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PORT", "")
    assert load_settings().postgres_port == 5432


def test_secrets_do_not_show_when_printed() -> None:
    settings = load_settings(
        postgres_password=SecretStr("hunter2"),
        mongo_uri=SecretStr("mongodb://a:hunter2@h"),
        state_dsn=SecretStr("password=hunter2"),
    )
    assert "hunter2" not in repr(settings) + str(settings)


def test_a_malformed_value_beside_a_secret_does_not_show_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", "hunter2")
    monkeypatch.setenv("POSTGRES_PORT", "x")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("dsn", ["hunter2", "host=h password='hunter2", "postgresql://u:hunter2%zz@h/d"])
def test_a_malformed_state_dsn_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    monkeypatch.setenv("STATE_DSN", dsn)
    with pytest.raises(ConfigError, match="STATE_DSN") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ({}, None),
        ({"postgres_sslmode": "require"}, "require"),
        ({"postgres_sslrootcert": "system"}, "verify-full"),
        ({"postgres_sslrootcert": str(EXAMPLE)}, "verify-full"),
        ({"postgres_sslcert": str(EXAMPLE)}, "verify-full"),
        ({"postgres_sslrootcert": str(EXAMPLE), "postgres_sslmode": "verify-ca"}, "verify-ca"),
    ],
)
def test_certificates_are_verified_by_default(given: dict[str, str], mode: str | None) -> None:
    assert conninfo_to_dict(load_settings(**given).postgres_dsn).get("sslmode") == mode


def test_tls_options_are_added_to_a_mongo_uri() -> None:
    settings = load_settings(mongo_uri=SecretStr("mongodb://u:p@h:1/?replicaSet=r"), mongo_tls_ca_file=EXAMPLE)
    options = pymongo.uri_parser.parse_uri(settings.mongo_conninfo)["options"]
    assert (options["tls"], options["tlsCAFile"], options["replicaSet"]) == (True, str(EXAMPLE), "r")
    assert load_settings(mongo_host="h", mongo_port=1, mongo_tls=True).mongo_conninfo == "mongodb://h:1/?tls=true"


def test_a_missing_certificate_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_TLS_CA_FILE", "/absent.pem")
    with pytest.raises(ConfigError, match="MONGO_TLS_CA_FILE"):
        load_settings()


def test_the_state_lives_in_the_source_by_default() -> None:
    settings = load_settings(postgres_password=SecretStr("it's \\ odd"))
    assert settings.state_conninfo == settings.postgres_dsn
    assert load_settings(state_dsn=SecretStr("host=elsewhere")).state_conninfo == "host=elsewhere"


def test_mongo_uri_replaces_host_and_port() -> None:
    assert load_settings(mongo_host="h", mongo_port=1).mongo_conninfo == "mongodb://h:1"
    assert load_settings(mongo_uri=SecretStr("mongodb://u:p@x/?tls=true")).mongo_conninfo == "mongodb://u:p@x/?tls=true"


@pytest.mark.parametrize(("text", "seconds"), [("10s", 10), ("5m", 300), ("1h", 3600), ("2.5", 2.5)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10 s", "0s", "-5", "5d"])
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a duration"):
        parse_duration(text)


def test_the_example_lists_every_setting_with_its_description_and_default() -> None:
    settings, _, _ = EXAMPLE.read_text(encoding="utf-8").partition("# --- Containers")
    lines = settings.splitlines()
    listed = {match[1] for line in lines if (match := re.match(r"#?([A-Z_]+)=", line))}
    assert listed == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        index = next(i for i, line in enumerate(lines) if re.match(rf"#?{name.upper()}=", line))
        assert lines[index - 1] == f"# {field.description}", name


def test_the_example_loads_unchanged_and_gives_the_defaults() -> None:
    assert load_settings(EXAMPLE).model_dump() == load_settings().model_dump()


@pytest.mark.parametrize(
    ("warehouse", "interval", "expected"),
    [("duckdb", 10, 10), ("snowflake", 0, 0), ("snowflake", 10, 300), ("snowflake", 600, 600)],
)
def test_a_processor_that_stages_in_snowflake_has_a_shortest_interval(
    warehouse: str, interval: float, expected: float
) -> None:
    assert load_settings(warehouse=warehouse, processor_interval_sec=interval).cycle_interval_sec == expected
