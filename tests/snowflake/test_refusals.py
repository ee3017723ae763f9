"""What Snowflake says no with becomes one sentence that names what to do, and nothing is lost by it.

A server answers with Snowflake's own codes and texts; the real connector raises what it makes of them.
"""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import (
    AdventureError,
    StageUnwritable,
    WarehouseError,
    WarehouseRefused,
    WarehouseUnavailable,
)
from adventure.core.settings import Settings
from adventure.core.streams import Stream, find_stream
from adventure.destinations.results import LoadResult
from adventure.destinations.snowflake import account_tasks
from adventure.destinations.snowflake.credentials import SnowflakeLogin
from adventure.destinations.snowflake.deploy import run_statements
from adventure.destinations.snowflake.session import SnowflakeSession, connect_snowflake
from adventure.factory import open_stage, open_warehouse
from adventure.processor.run import process_once
from adventure.processor.state import read_watermarks
from tests.snowflake import account
from tests.snowflake.emulator import Emulator
from tests.snowflake.refusing import No, refusing_server

pytestmark = pytest.mark.slow

NO_ACCOUNT = No(status=404)
BAD_KEY = No("390144", "JWT token is invalid. [0a1b2c3d]", "08001", at_login=True)
NO_ROLE = No(
    "390189",
    "Role 'ADVENTURE_LOADER' specified in the connect string does not exist or not authorized. Contact your local"
    " system administrator, or attempt to login with another role, e.g. PUBLIC.",
    "08001",
    at_login=True,
)
NO_STAGE = No(
    "003001", "SQL access control error:\nInsufficient privileges to operate on stage 'ORDERS_STAGE'", "42501"
)

ORDER = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def acme(emulator: Emulator, tmp_path: Path) -> Settings:
    """Settings of an account, to which a port is added."""
    return load_settings(
        warehouse="snowflake",
        data_dir=tmp_path,
        snowflake_account="acme-sales",
        snowflake_private_key_path=emulator.key,
        snowflake_host="127.0.0.1",
        snowflake_protocol="http",
    )


REFUSALS = {
    "wrong account": (NO_ACCOUNT, "there is no such account.* Check SNOWFLAKE_ACCOUNT"),
    "network policy": (No(status=403), "there is no such account.* its network policy allows this machine"),
    "address that no network policy lets in": (
        No("390422", "Incoming request with IP/Token 192.0.2.1 is not allowed to access Snowflake.", "08004", True),
        "refuses connections from this machine's address: .*192.0.2.1.* Add the address to the network policy of",
    ),
    "unknown or expired key": (
        BAD_KEY,
        "the key does not belong to the user, or is no longer valid. Run: alter user ADVENTURE_PROCESSOR set"
        " rsa_public_key",
    ),
    "unknown user": (
        No("390100", "Incorrect username or password was specified.", "08001", at_login=True),
        "refuses the user or the token. Check SNOWFLAKE_USER",
    ),
    "second factor that is wrong": (
        No("390127", "Incorrect passcode was specified.", "08001", at_login=True),
        "the second factor is missing, wrong or was used before.* SNOWFLAKE_PASSCODE to the code",
    ),
    "second factor that is missing": (
        No(
            "390197",
            "Multi-factor authentication is required for this account. Log in to Snowsight to enroll in multi-factor"
            " authentication.",
            "08001",
            at_login=True,
        ),
        "the second factor is missing.* Set SNOWFLAKE_AUTHENTICATOR=username_password_mfa, SNOWFLAKE_PASSWORD",
    ),
    "expired token": (
        No("390303", "Invalid OAuth access token. [0a1b2c3d]", "08001", at_login=True),
        "refuses the user or the token. .*SNOWFLAKE_AUTHENTICATOR",
    ),
    "role that is not granted": (
        No(
            "390186",
            "Role 'ADVENTURE_LOADER' specified in the connect string is not granted to this user. Contact your local"
            " system administrator, or attempt to login with another role, e.g. PUBLIC.",
            "08001",
            at_login=True,
        ),
        "grant role ADVENTURE_LOADER to user ADVENTURE_PROCESSOR",
    ),
    "database that is not seen": (
        No(
            "090105",
            "Cannot perform SELECT. This session does not have a current database. Call 'USE DATABASE', or use a"
            " qualified name.",
            "22000",
        ),
        "Run `adventure snowflake deploy`, or grant the role",
    ),
    "role": (NO_ROLE, "grant role ADVENTURE_LOADER to user ADVENTURE_PROCESSOR"),
    "stage without privilege": (NO_STAGE, "grant read, write on stage ORDERS_STAGE to role ADVENTURE_LOADER"),
    "task without privilege": (
        No("003001", "SQL access control error:\nInsufficient privileges to operate on task 'LOAD_ORDERS'", "42501"),
        "grant operate, monitor on task LOAD_ORDERS to role ADVENTURE_LOADER",
    ),
    "table that is not seen": (
        No("002003", "SQL compilation error:\nObject 'RAW_EXT.ORDERS_RAW' does not exist or not authorized.", "42S02"),
        "ORDERS_RAW' does not exist or not authorized. Run `adventure snowflake deploy`, or grant the role",
    ),
    "suspended warehouse": (
        No(
            "000606",
            "No active warehouse selected in the current session.  Select an active warehouse with the 'use warehouse'"
            " command.",
            "57P03",
        ),
        "grant usage on warehouse ADVENTURE_WH to role .*, and alter warehouse ADVENTURE_WH set auto_resume = true",
    ),
    "terms of Anaconda": (
        No(
            "391529",
            "SQL compilation error: Anaconda terms must be accepted by ORGADMIN to use Anaconda 3rd party packages."
            " Please follow the instructions at https://docs.snowflake.com/",
            "42501",
        ),
        "nobody has accepted the terms of Anaconda.* ORGADMIN in Snowsight .Admin, Billing & Terms, Anaconda",
    ),
    "quota": (
        No(
            "090073",
            "Warehouse 'ADVENTURE_WH' cannot be resumed because resource monitor 'ADVENTURE_MONITOR' has exceeded its"
            " quota.",
            "22000",
        ),
        "the credit quota of the month is used up.* raise credit_quota of the resource monitor",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_what_to_do(acme: Settings, case: str) -> None:
    no, sentence = REFUSALS[case]
    with refusing_server(no) as port:
        settings = acme.model_copy(update={"snowflake_port": port})
        with pytest.raises(WarehouseRefused, match=sentence) as raised:
            SnowflakeSession(settings).execute("select 1", (), "adventure:test")
    assert "acme-sales" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("login", "remedy"),
    [
        (lambda settings: SnowflakeLogin.of_loader(settings), "ADVENTURE_LOADER to user .* with SNOWFLAKE_ROLE"),
        (lambda settings: SnowflakeLogin.of_dbt(settings), "ADVENTURE_TRANSFORMER to user .* with SNOWFLAKE_DBT_ROLE"),
        (lambda settings: SnowflakeLogin.of_loader(settings, role="CLASS"), "CLASS to user .* with --as"),
    ],
    ids=["loader", "dbt", "deploy"],
)
def test_a_refused_sign_in_names_the_role_that_was_asked_for(
    acme: Settings, login: Callable[[Settings], SnowflakeLogin], remedy: str
) -> None:
    with refusing_server(NO_ROLE) as port:
        settings = acme.model_copy(update={"snowflake_port": port})
        with pytest.raises(WarehouseRefused, match=rf"grant role {remedy}"):
            connect_snowflake(settings, login(settings))


def test_who_does_not_answer_may_be_asked_again(acme: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from adventure.destinations.snowflake import session

    monkeypatch.setattr(session, "LOGIN_TIMEOUT_SEC", 1)
    with refusing_server(NO_ACCOUNT) as port:
        pass
    with pytest.raises(WarehouseUnavailable, match=r"does not answer.*Check SNOWFLAKE_ACCOUNT"):
        connect_snowflake(acme.model_copy(update={"snowflake_port": port}))


@pytest.mark.parametrize("no", [NO_ACCOUNT, BAD_KEY, NO_ROLE, NO_STAGE], ids=["account", "key", "role", "stage"])
def test_what_was_refused_to_be_staged_is_staged_later(
    settings: Settings,
    snowflake_settings: Settings,
    streams: tuple[Stream, ...],
    no: No,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(account_tasks, "POLL_SEC", account.POLL_SEC)
    orders = find_stream(streams, "orders")
    with psycopg.connect(settings.postgres_dsn.replace("adventure_reader", "sales_app"), autocommit=True) as source:
        source.execute(
            "insert into orders (sales_order_id, last_modified) values (%s, now() at time zone 'utc')", [ORDER]
        )
    pipeline = account.with_sources(snowflake_settings, settings)
    with refusing_server(no) as port, pytest.raises(AdventureError):
        process_once(pipeline.model_copy(update={"snowflake_port": port}), [orders])
    assert read_watermarks(settings).get("orders") is None

    account.create_tables(pipeline)
    process_once(pipeline, [orders])
    warehouse = open_warehouse(pipeline)
    assert warehouse.load(orders) == LoadResult(1, 1)
    assert warehouse.execute("select sales_order_id from raw_ext.orders_raw") == [(ORDER,)]


def test_a_statement_that_deploy_may_not_run_is_named(acme: Settings) -> None:
    no = No("003001", "SQL access control error:\nInsufficient privileges to operate on account 'ACME'", "42501")
    told: list[str] = []
    with (
        refusing_server(no) as port,
        pytest.raises(
            WarehouseError,
            match=r"USERADMIN lacks a privilege .*\(in `create role if not exists r`\)\. Deploy as a user with",
        ),
    ):
        run_statements(
            acme.model_copy(update={"snowflake_port": port}), ["create role if not exists r", "never run"], told.append
        )
    assert told == ["create role if not exists r"]


def test_a_stage_that_does_not_exist_is_named(snowflake_settings: Settings) -> None:
    with pytest.raises(StageUnwritable, match=r"(?i)absent_stage"):
        open_stage(snowflake_settings).entries("absent_stage")


def test_every_statement_is_tagged(snowflake_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from snowflake.connector.cursor import SnowflakeCursor

    account.create_tables(snowflake_settings)
    tags: list[str] = []
    execute = SnowflakeCursor.execute

    def told(self: SnowflakeCursor, command: str, *values: object, **options: object) -> object:
        tags.append((options.get("_statement_params") or {}).get("QUERY_TAG", f"untagged: {command}"))  # type: ignore[attr-defined]
        return execute(self, command, *values, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(SnowflakeCursor, "execute", told)
    open_stage(snowflake_settings).entries("orders_stage")
    open_warehouse(snowflake_settings).totals([])
    assert tags[0] == "adventure:orders_stage"
    assert tags[1].startswith("adventure:query:")
