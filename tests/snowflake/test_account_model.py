"""The files and all that uses them, walked through a model of an account: rights, streams, tasks.

Each mutant takes one line away, or puts an older one back, and the model refuses what Snowflake refuses.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from types import MappingProxyType, SimpleNamespace

import pytest
from snowflake.connector.errors import ProgrammingError

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.destinations.common import report
from adventure.destinations.snowflake import deploy as deploying
from adventure.destinations.snowflake.deploy import replace_stale
from adventure.destinations.snowflake.one_role import READS_METERING, deployment_as, teardown_as
from adventure.destinations.snowflake.scripts import Trigger, alerts, deployment, names, one_file, teardown
from tests.snowflake.model.backlog import Backlog
from tests.snowflake.model.rights import Refused, Rights, Thing
from tests.snowflake.model.session import Session
from tests.snowflake.model.tasks import Tasks, procedure
from tests.snowflake.typed.blocks import sequence

SETTINGS = load_settings()
STREAMS = load_streams(SETTINGS)
STAGES = [stream.stage.upper() for stream in STREAMS]
WINDOW = "20260101T000000000000Z-0000000a"
PROCESSOR = [
    f"put 'file:///window.json' @raw_ext.\"{stage}\"/{WINDOW} auto_compress = false overwrite = true parallel = 4"
    for stage in STAGES
] + [
    text
    for stage in STAGES
    for text in (
        f'list @raw_ext."{stage}"',
        f"get @raw_ext.\"{stage}\"/{WINDOW}/window.json 'file:///folder/'",
        f"remove @raw_ext.\"{stage}\"/{WINDOW} pattern = '(.*/)?probe'",
        f'alter stage raw_ext."{stage}" refresh',
    )
]
# One statement of each form that dbt, `tasks run`, `status`, `publish` and `reconcile` send.
TRANSFORMER = [
    "create schema if not exists adventure.dbt_prod_dbt_test__audit",
    "create or replace view adventure.dbt_prod.base_orders as (select sales_order_id from raw_ext.orders_raw)",
    "create or replace view adventure.dbt_prod.customers as (select * from adventure.adventure_db.customer_prod_db)",
    "create or replace transient table adventure.dbt_prod.sales as (select * from adventure.dbt_prod.base_orders)",
    "create or replace temporary table adventure.dbt_prod.sales__tmp as (select * from adventure.dbt_prod.base_orders)",
    "delete from adventure.dbt_prod.sales where sales_order_id in (select sales_order_id from dbt_prod.sales__tmp)",
    "insert into adventure.dbt_prod.sales (sales_order_id) (select sales_order_id from adventure.dbt_prod.sales__tmp)",
    "create or replace transient table adventure.dbt_prod_dbt_test__audit.unique_key as (select 1 from dbt_prod.sales)",
    "drop view if exists adventure.dbt_prod.customers",
    "execute task raw_ext.load_orders",
    "insert into raw_ext.load_history (stream) values (?)",
    "insert into raw_ext.task_history select ?",
    "delete from raw_ext.task_history where started_at < ?",
    "insert into raw_ext.last_whole_build select ?",
    "select * from raw_ext.last_history",
    "select day, credits from dashboard.credits",
    "create or replace temporary table adventure_versions (key varchar)",
    "insert into adventure_versions select sales_order_id from raw_ext.orders_raw",
    "create or replace transient table dashboard.sales clone dbt_prod.sales",
    "create or replace table dashboard.publication as select cast(? as timestamp) as built_at",
    "create or replace table dashboard.report as select cast(column1 as timestamp) as written_at from values (?)",
    *(f"create or replace view dashboard.{name} as {select}" for name, select in report.queries("sysdate()").items()),
]
MONITOR = "show resource monitors like 'ADVENTURE_MONITOR'"
READER = [
    "select * from adventure.dbt_prod.sales",
    "select * from adventure.dashboard.sales",
    "select * from adventure.dashboard.publication",
]
APP = [*READER[1:], "select * from dashboard.report", "select * from dashboard.credits"]
Edit = Callable[[list[str]], Iterable[str]]


def full(trigger: Trigger = "scheduled") -> list[str]:
    return deployment(SETTINGS, STREAMS, trigger)


def one_role() -> list[str]:
    return deployment_as("class_role", full())


def account_of_an_administrator() -> Rights:
    rights = Rights()
    rights.users["ADMIN"] = {"USERADMIN", "SYSADMIN", "ACCOUNTADMIN"}
    return rights


def account_of_a_class() -> Rights:
    """A role that owns a database, and may use a warehouse and execute tasks."""
    rights = Rights()
    rights.inherits["CLASS_ROLE"] = {"PUBLIC"}
    rights.users["STUDENT"] = {"CLASS_ROLE"}
    rights.account.add(("EXECUTE TASK", "CLASS_ROLE"))
    rights.add("SYSADMIN", "WAREHOUSE", "ADVENTURE_WH").grants.add(("USAGE", "CLASS_ROLE"))
    rights.add("CLASS_ROLE", "DATABASE", "ADVENTURE")
    return rights


def deploy(rights: Rights, statements: Iterable[str], user: str = "ADMIN", role: str = "USERADMIN") -> list[str]:
    """Run the statements by the command's own loop, and return what it reports. The model raises Refused."""
    reported: list[str] = []
    session = Session(rights, user, role)

    class Cursor:
        description = ("name",), ("stale",)

        def execute(self, statement: str) -> None:
            try:
                session.run(statement)
            except Refused as error:
                if statement != READS_METERING:
                    raise
                raise ProgrammingError(msg=f"{error}, or not authorized", errno=2003) from error

        def fetchall(self) -> list[tuple[str, str]]:
            return []

    connection = SimpleNamespace(cursor=lambda: nullcontext(Cursor()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploying, "connect_snowflake", lambda *_, **__: nullcontext(connection))
        deploying.run_statements(SETTINGS, list(statements), reported.append, role=role)
    return reported


def work(rights: Rights, user: str, role: str, statements: Sequence[str], *, warehouse: str = "ADVENTURE_WH") -> None:
    session = Session(rights, user, role, database="ADVENTURE", schema="RAW_EXT")
    session.warehouse = warehouse
    for statement in statements:
        session.run(statement)


def everybody_works(rights: Rights) -> None:
    """The processor, dbt and the commands, the tasks, the app with its owner's rights, and a reader."""
    work(rights, "ADVENTURE_PROCESSOR", "ADVENTURE_LOADER", [*PROCESSOR, MONITOR], warehouse="")
    work(rights, "ADVENTURE_DBT", "ADVENTURE_TRANSFORMER", [*TRANSFORMER, MONITOR])
    the_tasks_work(rights)
    app = thing(rights, "STREAMLIT", "ADVENTURE.DASHBOARD.APP")
    rights.users |= {"APP": {app.owner}, "READER": {"ADVENTURE_READER"}}
    work(rights, "APP", app.owner, APP)
    work(rights, "READER", "ADVENTURE_READER", READER)
    rights.need("ADVENTURE_READER", "USAGE", "STREAMLIT", app.name)


def deploy_and_work(rights: Rights, statements: Iterable[str]) -> None:
    deploy(rights, statements)
    everybody_works(rights)


def the_tasks_work(rights: Rights) -> None:
    backlog = Backlog(20)
    tasks = Tasks(rights, [backlog], procedure())
    tasks.refresh("ADVENTURE.RAW_EXT.ORDERS_STAGE")
    root = tasks.task("ADVENTURE.RAW_EXT.LOAD_ORDERS")
    assert [run.state for run in tasks.run_graph(root)] == ["SUCCEEDED", "SUCCEEDED"]
    assert backlog.staged == {}


def state(rights: Rights) -> tuple[object, ...]:
    """All that a statement can change: objects, then roles, users, grants on the account and future grants."""
    return (
        {key: (each.owner, frozenset(each.grants)) for key, each in rights.things.items()},
        {role: frozenset(granted) for role, granted in rights.inherits.items()},
        {user: frozenset(roles) for user, roles in rights.users.items()},
        frozenset(rights.account),
        frozenset(rights.future),
    )


def thing(rights: Rights, kind: str, name: str) -> Thing:
    found = rights.find(kind, name)
    assert found is not None
    return found


@pytest.fixture
def deployed() -> Rights:
    rights = account_of_an_administrator()
    deploy(rights, full())
    return rights


@pytest.mark.parametrize("trigger", ["scheduled", "triggered"])
def test_a_deployment_gives_everybody_the_rights_they_need(trigger: Trigger) -> None:
    rights = account_of_an_administrator()
    deploy(rights, full(trigger))
    everybody_works(rights)
    app = thing(rights, "STREAMLIT", "ADVENTURE.DASHBOARD.APP")
    deploy(rights, full(trigger))
    everybody_works(rights)
    assert thing(rights, "STREAMLIT", "ADVENTURE.DASHBOARD.APP") is app, "the app has another URL"


def test_a_destroy_leaves_nothing_and_can_be_repeated() -> None:
    rights = account_of_an_administrator()
    before = state(rights)
    deploy(rights, full())
    for _ in range(2):
        deploy(rights, teardown(SETTINGS))
        assert state(rights) == before


def test_one_role_does_everything_in_its_own_database() -> None:
    rights = account_of_a_class()
    before = state(rights)
    for _ in range(2):
        deploy(rights, one_role(), "STUDENT", "CLASS_ROLE")
        work(rights, "STUDENT", "CLASS_ROLE", [*PROCESSOR, *TRANSFORMER, *READER, *APP])
        the_tasks_work(rights)
    for _ in range(2):
        deploy(rights, teardown_as("class_role", names(SETTINGS)), "STUDENT", "CLASS_ROLE")
    rights.users.pop("SYSTEM")
    assert state(rights)[1:] == before[1:], "nothing beyond the database"
    left = {name for _, name in rights.things if name.startswith("ADVENTURE.")}
    assert {name.split(".")[1] for name in left} == {"ECOM", "NEW_MKTG", "ADVENTURE_DB"}


CREDITS = "ADVENTURE.DASHBOARD.CREDITS"


def test_one_role_that_may_not_read_the_metering_has_no_credits() -> None:
    rights = account_of_a_class()
    reported = deploy(rights, one_role(), "STUDENT", "CLASS_ROLE")
    assert "account_usage" not in thing(rights, "VIEW", CREDITS).text
    assert any(text.startswith("-- Left out, since CLASS_ROLE may not read the metering") for text in reported)


def test_one_role_that_may_read_the_metering_has_its_credits() -> None:
    rights = account_of_a_class()
    rights.account.add(("IMPORTED PRIVILEGES", "CLASS_ROLE"))
    deploy(rights, one_role(), "STUDENT", "CLASS_ROLE")
    assert "from snowflake.account_usage.warehouse_metering_history" in thing(rights, "VIEW", CREDITS).text
    rights.account.discard(("IMPORTED PRIVILEGES", "CLASS_ROLE"))
    deploy(rights, one_role(), "STUDENT", "CLASS_ROLE")
    assert "account_usage" not in thing(rights, "VIEW", CREDITS).text, "the next deployment asks again"


def without(begin: str) -> Edit:
    """Leave statements out."""

    def edit(statements: list[str]) -> list[str]:
        kept = [text for text in statements if not text.startswith(begin)]
        assert len(kept) < len(statements), begin
        return kept

    return edit


def instead(old: str, new: str) -> Edit:
    """Replace a part of the text."""

    def edit(statements: list[str]) -> list[str]:
        assert any(old in text for text in statements), old
        return [text.replace(old, new) for text in statements]

    return edit


MUTANTS = {
    "schemas without managed access": (
        instead("raw_ext with managed access", "raw_ext"),
        "future objects of ADVENTURE.RAW_EXT need MANAGE GRANTS",
    ),
    "a procedure with its owner's rights": (instead("execute as caller", "execute as owner"), "may not REMOVE"),
    "no right to the stages": (
        without("grant read, write on stage orders_stage"),
        "STAGE ADVENTURE.RAW_EXT.ORDERS_STAGE",
    ),
    "read-only stages": (instead("grant read, write on stage", "grant read on stage"), "LOADER lacks WRITE on STAGE"),
    "tasks that may not run": (without("grant execute task on account"), "OWNER lacks EXECUTE TASK on the account"),
    "no schema for failed tests": (without("grant create schema on database"), "TRANSFORMER lacks CREATE SCHEMA"),
    "tasks that nobody may run": (
        without("grant operate, monitor on future tasks"),
        "TASK ADVENTURE.RAW_EXT.LOAD_ORDERS",
    ),
    "a budget that the processor cannot read": (without("execute immediate $loader_sees"), "RESOURCE MONITOR"),
    "published tables of the owner": (
        without("grant ownership on table publication"),
        "TRANSFORMER lacks OWNERSHIP on TABLE ADVENTURE.DASHBOARD.PUBLICATION, which it would replace",
    ),
    "a schema that dbt may not publish to": (
        instead("grant usage, create table, create view on schema dashboard", "grant usage on schema dashboard"),
        "TRANSFORMER lacks CREATE TABLE on ADVENTURE.DASHBOARD",
    ),
    "published tables that readers do not see": (
        without("grant select on future tables in schema dashboard"),
        "TABLE ADVENTURE.DASHBOARD.SALES does not exist or ADVENTURE_READER may not use it",
    ),
    "raw tables that dbt does not see": (
        lambda statements: [
            text for text in statements if not re.match(r"grant select on (all|future) tables in schema raw_ext", text)
        ],
        "TRANSFORMER may not use it",
    ),
    "a ledger that reconcile cannot write": (without("grant insert on table load_history"), "TRANSFORMER lacks INSERT"),
    "no warehouse": (without("grant usage on warehouse"), "WAREHOUSE ADVENTURE_WH"),
    "credits that the owner may not read": (without("grant imported privileges"), "IMPORTED PRIVILEGES"),
    "administrators who own nothing": (
        without("grant role identifier($owner_role) to role sysadmin"),
        "ROLE ADVENTURE_OWNER",
    ),
    "an owner that is used before it exists": (
        without("create role if not exists identifier($owner_role)"),
        "ROLE ADVENTURE_OWNER or ROLE sysadmin does not exist",
    ),
    "a monitor of another role": (without("use role accountadmin"), "may not grant EXECUTE TASK on the account"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_deployment_that_lacks_a_right_is_refused(mutant: str) -> None:
    edit, told = MUTANTS[mutant]
    rights = account_of_an_administrator()
    with pytest.raises(Refused, match=re.escape(told)):
        deploy_and_work(rights, edit(full()))


def test_a_role_that_owns_a_database_runs_the_one_file_and_its_tasks() -> None:
    rights = account_of_a_class()
    before = state(rights)
    for _ in range(2):
        deploy(rights, one_file(SETTINGS), "STUDENT", "CLASS_ROLE")
        ran = [text for text in sequence(";\n".join([*one_file(SETTINGS), ""])) if not text.startswith("alter task")]
        assert any(text.startswith("remove @orders_stage") for text in ran)
        deploy(rights, ran, "STUDENT", "CLASS_ROLE")
    assert state(rights)[1:] == before[1:], "nothing beyond the database"
    tasks = [each for (kind, _), each in rights.things.items() if kind == "TASK"]
    assert (len(tasks), all(each.is_resumed for each in tasks)) == (6, True)


def test_the_one_file_needs_the_right_to_execute_tasks() -> None:
    rights = account_of_a_class()
    rights.account.discard(("EXECUTE TASK", "CLASS_ROLE"))
    with pytest.raises(Refused, match="CLASS_ROLE lacks EXECUTE TASK on the account"):
        deploy(rights, one_file(SETTINGS), "STUDENT", "CLASS_ROLE")


def failure_alerts(edit: Edit = list) -> list[str]:
    return [*names(SETTINGS), *edit(alerts(SETTINGS))]


def test_the_file_of_alerts_can_be_run_again_and_leaves_every_load_resumed(deployed: Rights) -> None:
    for _ in range(2):
        deploy(deployed, failure_alerts(), role="ACCOUNTADMIN")
    loads = [each for (kind, name), each in deployed.things.items() if kind == "TASK" and ".LOAD_" in name]
    assert len(loads) == 3
    assert all(each.is_resumed for each in loads)


@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (
            "grant usage on integration",
            "INTEGRATION ADVENTURE_FAILURES does not exist or ADVENTURE_OWNER may not use it",
        ),
        ("alter task load_orders suspend", r"LOAD_ORDERS cannot be changed, since it is not suspended"),
        ("create notification integration", "INTEGRATION ADVENTURE_FAILURES does not exist"),
    ],
)
def test_a_file_of_alerts_that_lacks_a_statement_is_refused(deployed: Rights, begin: str, told: str) -> None:
    with pytest.raises(Refused, match=told):
        deploy(deployed, failure_alerts(without(begin)), role="ACCOUNTADMIN")


def test_a_live_version_that_is_added_without_a_guard_ends_the_next_deployment(deployed: Rights) -> None:
    guarded = next(text for text in full() if "already a live version" in text)
    with pytest.raises(Refused, match="There is already a live version"):
        deploy(deployed, instead(guarded, "alter streamlit app add live version from last")(full()))


def test_an_app_that_is_replaced_is_another_one(deployed: Rights) -> None:
    app = thing(deployed, "STREAMLIT", "ADVENTURE.DASHBOARD.APP")
    deploy(deployed, instead("create streamlit if not exists app", "create or replace streamlit app")(full()))
    assert thing(deployed, "STREAMLIT", "ADVENTURE.DASHBOARD.APP") is not app


def test_a_destroy_that_uses_a_role_that_it_drops_cannot_be_repeated(deployed: Rights) -> None:
    statements = teardown(SETTINGS)
    first = statements.index("use role accountadmin")
    older = [*statements[:first], "use role identifier($owner_role)", *statements[first:]]
    deploy(deployed, older)
    with pytest.raises(Refused, match="ROLE ADVENTURE_OWNER does not exist"):
        deploy(deployed, older)


def test_one_role_may_not_run_the_full_deployment() -> None:
    with pytest.raises(Refused, match="ROLE useradmin does not exist, or is not granted to STUDENT"):
        deploy(account_of_a_class(), full(), "STUDENT", "CLASS_ROLE")


LOAD = "ADVENTURE.RAW_EXT.LOAD_ORDERS"
FILES = "ADVENTURE.RAW_EXT.ORDERS_STAGE_FILES"


def due(rights: Rights, backlog: Backlog, edits: Mapping[str, str] = MappingProxyType({})) -> Tasks:
    """Tasks whose stage's directory shows the files of the backlog."""
    tasks = Tasks(rights, [backlog], procedure(edits))
    tasks.refresh("ADVENTURE.RAW_EXT.ORDERS_STAGE")
    return tasks


def test_a_load_runs_while_files_are_new(deployed: Rights) -> None:
    tasks = due(deployed, Backlog(20, deletes=True))
    assert [tasks.execute(LOAD), tasks.execute(LOAD)] == ["SUCCEEDED", "SKIPPED"]


HASTY = {
    "if problems or advance(": "if advance(",
    "is_done = len(waiting_windows(session, job, problems)) <= without_table and not problems": "is_done = True",
}
"""A load that consumes the stream of files although a window is left."""


@pytest.mark.parametrize(("edits", "second"), [({}, "FAILED"), (HASTY, "SKIPPED")], ids=["ours", "hasty"])
def test_a_window_that_cannot_be_loaded_keeps_its_load_due(
    deployed: Rights, edits: dict[str, str], second: str
) -> None:
    backlog = Backlog(20)
    backlog.manifests[next(iter(backlog.manifests))] = "{"
    tasks = due(deployed, backlog, edits)
    assert [tasks.execute(LOAD), tasks.execute(LOAD)] == ["FAILED", second]
    assert len(backlog.ledger) == len(backlog.manifests) - 1, "the other windows are loaded"


def test_a_stream_that_another_role_replaces_is_lost_to_the_load(deployed: Rights) -> None:
    replaced = "create or replace stream raw_ext.orders_stage_files on stage raw_ext.orders_stage"
    deploy(deployed, ["use role accountadmin", "use database adventure", replaced])
    with pytest.raises(Refused, match=r"ADVENTURE\.RAW_EXT\.ORDERS_STAGE_FILES"):
        due(deployed, Backlog(20)).execute(LOAD)


def test_a_stale_stream_fails_its_load_until_deploy_replaces_it(deployed: Rights) -> None:
    tasks = due(deployed, Backlog(20))
    tasks.streams[FILES].is_stale = True
    for statement in full():
        tasks.recreate(statement)
    assert tasks.execute(LOAD) == "FAILED"
    shown = [{"name": name.rpartition(".")[2], "stale": each.is_stale} for name, each in tasks.streams.items()]
    for statement in replace_stale(shown):
        deploy(deployed, ["use role adventure_owner", "use database adventure", statement])
        tasks.recreate(statement)
    assert tasks.execute(LOAD) == "SKIPPED", "the stream begins with the next file"
    tasks.refresh("ADVENTURE.RAW_EXT.ORDERS_STAGE")
    assert tasks.execute(LOAD) == "SUCCEEDED"


def test_a_load_that_is_ended_after_its_hour_keeps_what_it_committed(
    deployed: Rights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.snowflake.model.tasks.CALL_SEC", 60)
    backlog = Backlog(20)
    assert due(deployed, backlog).execute(LOAD) == "SUCCEEDED", "few calls for all windows"
    slow = Backlog(20)
    tasks = due(deployed, slow, {"COPY_FILES = 1000": "COPY_FILES = 1"})
    assert tasks.execute(LOAD) == "CANCELLED"
    assert 0 < len(slow.ledger) < len(slow.manifests)
    assert tasks.streams[FILES].has_data, "the next run goes on"
    while (state := tasks.execute(LOAD)) == "CANCELLED":
        pass
    assert (state, len(slow.ledger)) == ("SUCCEEDED", len(slow.manifests))
