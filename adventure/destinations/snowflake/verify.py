"""`adventure snowflake verify`: deploys under scratch names, moves rows through the account, and destroys all of it.

The report names no account, user or role of the account, so that it can be pasted into an issue.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from adventure.core.errors import AdventureError, ConfigError, WarehouseError
from adventure.core.extras import DISTRIBUTION
from adventure.core.manifest import DELETES, REPLACES
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.snowflake.credentials import SnowflakeLogin
from adventure.destinations.snowflake.deploy import FIRST_ROLE, run_statements
from adventure.destinations.snowflake.dialect import SNOWFLAKE
from adventure.destinations.snowflake.one_role import deployment_as
from adventure.destinations.snowflake.scripts import SHIPPED, Trigger, deployment, names, teardown
from adventure.destinations.snowflake.session import connect_snowflake
from adventure.destinations.snowflake.stage import SnowflakeStage
from adventure.destinations.snowflake.verify_rows import QUERIES, ROWS, put_window, write_window
from adventure.destinations.snowflake.verify_tasks import OtherTasks
from adventure.destinations.snowflake.warehouse import SnowflakeWarehouse

PREFIX = "ADVENTURE_VERIFY_"
_ROLE_OR_USER = re.compile(r"set (\w+_(?:role|user)) = '[^']*'")
_CREATE_DATABASE = "create database if not exists identifier($database_name)"
_DROP_DATABASE = "drop database if exists identifier($database_name)"
_TRIGGERS: tuple[Trigger, Trigger] = ("scheduled", "triggered")
Work = Callable[[], str]


@dataclass(frozen=True)
class Scratch:
    """A deployment under names of its own, and what removes it."""

    settings: Settings
    role: str
    """The role that deploys and destroys."""
    deploy: list[str]
    triggered: list[str]
    """A deployment with triggered tasks."""
    as_owner: list[str]
    """The statements that set the names and take the role that owns all of it."""
    alerts: list[str]
    """The statements that let the owner's role use the integration."""
    destroy: list[str]
    integration: str
    """An existing notification integration for failed loads; empty if there is none."""


@dataclass(frozen=True)
class Step:
    """The outcome of one step."""

    name: str
    outcome: Literal["ok", "failed", "not run"]
    seconds: float
    detail: str


def scratch_of(settings: Settings, streams: Sequence[Stream], *, name: str, role: str, data_dir: Path) -> Scratch:
    """Return what verify deploys and destroys. No statement names an object that verify did not create.

    Args:
        name: the scratch database; in the full installation all other names begin with it.
        role: the one role, which may create databases; empty for the full installation.
        data_dir: where dbt writes its files.

    Raises:
        ConfigError: a script is missing, or the pipeline lacks the shipped streams.
    """
    if missing := set(SHIPPED) - {stream.name for stream in streams}:
        raise ConfigError(
            f"verify stages rows of {', '.join(SHIPPED)}, and the pipeline has no {', '.join(sorted(missing))}",
            "Run it with the pipeline.toml that comes with Adventure",
        )
    changed: dict[str, object] = {
        "warehouse": "snowflake",
        "data_dir": data_dir,
        "credit_budget": None,
        "snowflake_database": name,
        "snowflake_dbt_user": settings.snowflake_user,
        "snowflake_dbt_target": "prod",
        "snowflake_error_integration": "",
    }
    integration = settings.snowflake_error_integration
    if role:
        changed |= {"snowflake_role": role.upper(), "snowflake_dbt_role": role.upper()}
        ours = settings.model_copy(update=changed)
        deploy, triggered = (deployment_as(role, deployment(ours, streams, each)) for each in _TRIGGERS)
        deploy.insert(deploy.index("use warehouse identifier($warehouse_name)"), _CREATE_DATABASE)
        own = deployment_as(role, names(ours))
        return Scratch(ours, role.upper(), deploy, triggered, own, [], [*own, _DROP_DATABASE], integration)
    changed |= {
        "snowflake_warehouse": f"{name}_WAREHOUSE",
        "snowflake_monitor": f"{name}_MONITOR",
        "snowflake_role": f"{name}_LOADER_ROLE",
        "snowflake_dbt_role": f"{name}_TRANSFORMER_ROLE",
    }
    ours = settings.model_copy(update=changed)
    deploy, triggered = (_renamed(deployment(ours, streams, each), name) for each in _TRIGGERS)
    # One user does the work of both service users.
    user = SNOWFLAKE.column(settings.snowflake_user)
    first = deploy.index("use role sysadmin")
    deploy[first:first] = [f"grant role identifier(${kind}_role) to user {user}" for kind in ("loader", "transformer")]
    # The integration of failure_alerts.sql has one name for all deployments.
    destroy = [text for text in _renamed(teardown(ours), name) if not text.startswith("drop integration ")]
    own = _renamed(names(ours), name)
    may_use = f"grant usage on integration {SNOWFLAKE.column(integration)} to role identifier($owner_role)"
    alerts = [*own, "use role accountadmin", may_use] if integration else []
    as_owner = [*own, "use role identifier($owner_role)"]
    return Scratch(ours, FIRST_ROLE, deploy, triggered, as_owner, alerts, destroy, integration)


def _renamed(statements: Sequence[str], name: str) -> list[str]:
    """Return the statements with roles and users whose names begin with `name`, whatever 0_names.sql calls them."""
    return [
        _ROLE_OR_USER.sub(lambda found: f"set {found[1]} = '{name}_{found[1].upper()}'", text) for text in statements
    ]


def verify(scratch: Scratch, streams: Sequence[Stream], report: Callable[[Step], None]) -> list[Step]:
    """Run all steps and return them. After a step that failed, or an interrupt, run only those that destroy.

    Args:
        streams: those of the pipeline.
        report: is called after each step.
    """
    steps: list[Step] = []

    def step(name: str, work: Work) -> None:
        begun = time.monotonic()
        try:
            outcome, detail = "ok", work()
        except AdventureError as error:
            outcome, detail = "failed", _anonymous(str(error), scratch)
        steps.append(Step(name, outcome, time.monotonic() - begun, detail))  # type: ignore[arg-type]
        report(steps[-1])

    try:
        with TemporaryDirectory() as folder:
            for name, work in _Work(scratch, streams, Path(folder)).steps():
                if any(each.outcome == "failed" for each in steps):
                    steps.append(Step(name, "not run", 0, ""))
                else:
                    step(name, work)
            steps.append(NOT_RUN)
            report(NOT_RUN)
    finally:
        for name in ("destroy", "destroy again"):
            step(name, partial(_run, scratch, scratch.destroy))
    return steps


NOT_RUN = Step(
    "build_in_snowflake.sql",
    "not run",
    0,
    "CREATE and EXECUTE DBT PROJECT never ran in a test, and an account may not have them."
    " docs/snowflake.md has the steps: Build inside Snowflake",
)


class _Work:
    """The work of the steps between the sign-in and the end."""

    def __init__(self, scratch: Scratch, streams: Sequence[Stream], folder: Path) -> None:
        self._scratch, self._streams, self._folder = scratch, streams, folder
        self._stage, self._warehouse = SnowflakeStage(scratch.settings), SnowflakeWarehouse(scratch.settings)
        self._shipped = [stream for stream in streams if stream.name in SHIPPED]
        self._windows = {stream.name: write_window(stream, folder / stream.name) for stream in self._shipped}
        run = partial(_run, scratch)
        self._others = OtherTasks(scratch.settings, self._shipped, run, scratch.as_owner, folder)

    def steps(self) -> Iterator[tuple[str, Work]]:
        """Yield the name and the work of each step, in their order."""
        yield "sign in", partial(_sign_in, self._scratch)
        yield "deploy", partial(_run, self._scratch, self._scratch.deploy)
        yield "deploy again", partial(_run, self._scratch, self._scratch.deploy)
        for_each = {
            "stage": self._put,
            "load": self._load,
            "compare": self._compare,
            "stage the same again": self._repeat,
        }
        for name, work in for_each.items():
            for stream in self._shipped:
                yield f"{name} {stream.name}", partial(work, stream)
        yield "rejected rows", self._count_rejected
        yield "build", self._build
        yield "publish", self._publish
        yield "whole table orders", self._replace_whole
        yield from self._others.steps(self._scratch.triggered)
        yield "failure_alerts.sql", self._alert

    def _alert(self) -> str:
        if self._scratch.alerts:
            _run(self._scratch, self._scratch.alerts)
        return self._others.alert(self._scratch.integration)

    def _put(self, stream: Stream) -> str:
        put_window(self._stage, self._windows[stream.name], self._folder / stream.name)
        return f"{len(self._stage.entries(stream.stage))} files"

    def _load(self, stream: Stream) -> str:
        loaded, cleaned = self._warehouse.load(stream), self._warehouse.cleanup(stream)
        left = self._stage.entries(stream.stage)
        _expect("rows loaded, and files left in the stage", (loaded.rows, len(left)), (ROWS, 0))
        return f"{loaded.rows} rows, {loaded.files} files loaded, {cleaned.files} removed"

    def _compare(self, stream: Stream) -> str:
        query, expected = QUERIES[stream.name]
        found = self._warehouse.execute(query)[0]
        _expect("the raw rows", found, expected)
        return ", ".join(map(str, found))

    def _repeat(self, stream: Stream) -> str:
        put_window(self._stage, self._windows[stream.name], self._folder / stream.name)
        loaded = self._warehouse.load(stream)
        self._warehouse.cleanup(stream)
        (held,) = self._warehouse.execute(f"select count(*) from {stream.raw_table}")[0]
        _expect("rows and tombstones held after the same window was staged again", held, ROWS + 1)
        return f"{loaded.rows} rows loaded"

    def _replace_whole(self) -> str:
        """Load a window that holds the whole table, and lacks one of its rows."""
        (orders,) = (stream for stream in self._shipped if stream.name == "orders")
        folder = self._folder / "whole"
        window = write_window(orders, folder, run_id="verify03", only_rows=True, rows=ROWS - 1, mode=REPLACES)
        put_window(self._stage, window, folder)
        self._warehouse.load(orders)
        self._warehouse.cleanup(orders)
        found = self._warehouse.execute(
            'select count(*), min(kind) from raw_ext.load_history where window_id = ? and file = ? and "ROWS" = 1',
            [window.id, DELETES],
        )[0]
        _expect("ledger entries of the row that is gone", found, (1, "deletes"))
        (live,) = self._warehouse.execute(f"select count(*) from {orders.latest_view}")[0]
        # The first row was deleted before.
        _expect("live orders", live, ROWS - 2)
        return f"{live} live orders"

    def _count_rejected(self) -> str:
        (found,) = self._warehouse.execute("select count(*) from raw_ext.rejected_rows")[0]
        _expect("rejected rows", found, len(self._shipped))
        return f"{found} rows"

    def _build(self) -> str:
        line = self._warehouse.build(self._streams, "whole")
        for mart in ("fct_sales_order_lines", "fct_support_chats"):
            (found,) = self._warehouse.execute(f"select count(*) from dbt_prod.{mart}")[0]
            _expect(f"rows of {mart}, without the deleted one", found, ROWS - 1)
        return line

    def _publish(self) -> str:
        rows = self._warehouse.publish()
        (found,) = self._warehouse.execute("select count(*) from dashboard.recent_orders")[0]
        _expect("recent orders published, without the deleted one", found, ROWS - 1)
        return f"{rows} rows, {found} of them recent orders"


def _sign_in(scratch: Scratch) -> str:
    login = SnowflakeLogin.of_loader(scratch.settings, role=scratch.role)
    with connect_snowflake(scratch.settings, login) as session, session.cursor() as cursor:
        cursor.execute("select current_version()")
        return f"Snowflake {cursor.fetchall()[0][0]}"


def _run(scratch: Scratch, statements: Sequence[str]) -> str:
    run_statements(scratch.settings, statements, lambda _: None, role=scratch.role)
    return f"{len(statements)} statements"


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise WarehouseError(f"{what}: found {found} instead of {expected}", "Paste the report into an issue")


def _anonymous(text: str, scratch: Scratch) -> str:
    """Return an error's text without the names of the account, the user, their role and their warehouse."""
    settings = scratch.settings
    hidden = {"account": settings.snowflake_account, "user": settings.snowflake_user}
    if scratch.role != FIRST_ROLE:
        hidden |= {"role": scratch.role, "warehouse": settings.snowflake_warehouse}
    hidden["integration"] = scratch.integration
    for kind, value in hidden.items():
        if value:
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", f"<{kind}>", text, flags=re.IGNORECASE)
    return text


def to_text(steps: Sequence[Step], scratch: Scratch) -> str:
    """Return the report as Markdown."""
    path = "the full installation" if scratch.role == FIRST_ROLE else "one role"
    version = metadata.version(DISTRIBUTION)
    lines = [f"adventure {version} snowflake verify, {path}", "", "| step | outcome | seconds | |", "|---|---|---|---|"]
    for step in steps:
        detail = " ".join(step.detail.replace("|", "\\|").split())
        lines.append(f"| {step.name} | {step.outcome} | {step.seconds:.1f} | {detail} |")
    if steps[-1].outcome == "failed":
        name = scratch.settings.snowflake_database
        lines += ["", f"Not everything was destroyed. Drop all objects of the account whose names begin with {name}."]
    return "\n".join(lines)
