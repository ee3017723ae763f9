"""What causes each problem, and what only a person can do to end it: a case does it after the guide's diagnoses."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from adventure.core import heartbeat
from adventure.core.clock import utc_now
from adventure.core.pipeline_file import load_streams
from adventure.demo.sandbox.process import free_port
from adventure.destinations.duckdb import report
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from tests.runbook.shop import PIPELINE, Shop
from tests.waiting import until

FRESHNESS = """
    config:
      loaded_at_field: _loaded_at
      freshness: {error_after: {count: 2, period: hour}}
    tables:"""
CHECK = """
{{ config(severity='@severity@', store_failures=true) }}
select * from {{ ref('stg_orders') }} where amount < 0
"""


def loaded(shop: Shop) -> None:
    shop.prepare("adventure process", "adventure load")


# Each case causes its problem, and then does what only a person can do.


@contextmanager
def another(shop: Shop, **environment: str) -> Iterator[None]:
    """Settings that are wrong until somebody corrects them."""
    before = {name: shop.environment.get(name) for name in environment}
    shop.environment |= environment
    yield
    shop.environment |= {name: value for name, value in before.items() if value is not None}
    for name in (name for name, value in before.items() if value is None):
        del shop.environment[name]


@contextmanager
def server_away(shop: Shop) -> Iterator[None]:
    with another(shop, POSTGRES_PORT=str(free_port(None))):
        yield


@contextmanager
def state_away(shop: Shop) -> Iterator[None]:
    away = make_conninfo(shop.environment["STATE_DSN"], port=free_port(None))
    with another(shop, STATE_DSN=away):
        yield


@contextmanager
def processor_stopped(shop: Shop) -> Iterator[None]:
    with closing(_heartbeat(shop)):
        pass
    yield


@contextmanager
def processor_stuck(shop: Shop) -> Iterator[None]:
    with closing(_heartbeat(shop)):
        os.utime(shop.settings().processor_heartbeat, (0, 0))
        yield


def _heartbeat(shop: Shop) -> "_Heartbeat":
    path = shop.settings().processor_heartbeat
    path.parent.mkdir(exist_ok=True)
    return _Heartbeat(path)


class _Heartbeat:
    """That of a processor that is not this one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        heartbeat.begin(path, 60)
        heartbeat.beat()

    def close(self) -> None:
        if time.time() - self._path.stat().st_mtime < 60:
            heartbeat.end()
        heartbeat.begin(None, 1)


@contextmanager
def warehouse_broken(shop: Shop) -> Iterator[None]:
    loaded(shop)
    file = shop.settings().duckdb_path
    shutil.copy(file, shop.folder / "backup")
    file.write_bytes(b"no database" * 1000)
    yield
    shutil.copy(shop.folder / "backup", file)


@contextmanager
def privilege_lacks(shop: Shop) -> Iterator[None]:
    loaded(shop)
    shop.execute("revoke select on orders from adventure_reader")
    yield
    shop.execute("grant select on orders to adventure_reader")


@contextmanager
def another_stage(shop: Shop) -> Iterator[None]:
    loaded(shop)
    shop.environment["DATA_DIR"] = "second"
    yield


@contextmanager
def transaction_open(shop: Shop) -> Iterator[None]:
    with another(shop, ALERT_LAG_SEC="0.5"), psycopg.connect(shop.server) as session:
        session.execute("select now()")
        time.sleep(0.8)
        yield


@contextmanager
def rows_wait(shop: Shop) -> Iterator[None]:
    loaded(shop)
    shop.execute("insert into orders values (3, 30)")
    with another(shop, ALERT_LAG_SEC="0.5"):
        time.sleep(0.8)
        yield


@contextmanager
def statistics_hidden(shop: Shop) -> Iterator[None]:
    shop.execute("revoke pg_read_all_stats from adventure_reader")
    try:
        loaded(shop)
        yield
    finally:
        shop.execute("grant pg_read_all_stats to adventure_reader")
    shop.execute("insert into orders values (3, 30)")
    shop.prepare("adventure process", "adventure load")


@contextmanager
def file_damaged(shop: Shop) -> Iterator[None]:
    shop.prepare("adventure process")
    (file,) = shop.settings().stage_dir.rglob("window.json")
    file.write_text("{")
    yield


@contextmanager
def window_lost(shop: Shop) -> Iterator[None]:
    loaded(shop)
    shop.execute("insert into orders values (3, 30)")
    shop.prepare("adventure process")
    shutil.copy(shop.settings().duckdb_path, shop.folder / "older")
    loaded(shop)
    shutil.copy(shop.folder / "older", shop.settings().duckdb_path)
    yield
    shop.prepare("adventure process", "adventure load")


@contextmanager
def windows_wait(shop: Shop) -> Iterator[None]:
    shop.prepare("adventure process")
    with another(shop, ALERT_WAITING_SEC="0.001"):
        yield


@contextmanager
def tasks_overdue(shop: Shop) -> Iterator[None]:
    shop.prepare("adventure process", "adventure tasks run")
    with another(shop, TASKS_INTERVAL_SEC="1"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(report, "utc_now", lambda: utc_now() - timedelta(days=1))
            settings = shop.settings()
            DuckDBWarehouse(settings).publish_report(load_streams(settings), interval=1)
        yield


@contextmanager
def build_fails(shop: Shop) -> Iterator[None]:
    loaded(shop)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DuckDBWarehouse, "build", lambda *_, **__: 1 / 0)
        shop.run("adventure tasks run build", 1)
    shop.ran.clear()
    yield


@contextmanager
def row_lost(shop: Shop) -> Iterator[None]:
    loaded(shop)
    DuckDBWarehouse(shop.settings()).execute("delete from raw_ext.orders_raw where id = 1")
    shop.run("adventure tasks run reconcile", 1)
    shop.ran.clear()
    yield


@contextmanager
def value_rejected(shop: Shop) -> Iterator[None]:
    shop.execute("update orders set amount = 'NaN' where id = 1")
    loaded(shop)
    yield
    shop.execute("update orders set amount = 11 where id = 1")


def with_dbt(shop: Shop, severity: str = "error") -> None:
    """Let init write the project for the table; add a freshness, and a test that amounts are not negative."""
    shop.execute("drop table if exists order_details")
    pipeline = Path("pipeline.toml")
    pipeline.unlink()
    env = shop.environment
    address = f"{env['POSTGRES_USER']}:{env['POSTGRES_PASSWORD']}@{env['POSTGRES_HOST']}:{env['POSTGRES_PORT']}"
    shop.prepare(f"adventure init --yes --postgres postgresql://{address}/{env['POSTGRES_DB']}")
    Path(".env").unlink()
    raw_table, types = 'raw_table = "raw_ext.orders_raw"\n', 'types = { amount = "decimal(9,2)" }\n'
    pipeline.write_text(pipeline.read_text().replace(raw_table, raw_table + types))
    sources = Path("dbt/models/staging/_sources.yml")
    sources.write_text(sources.read_text().replace("\n    tables:", FRESHNESS))
    Path("dbt/tests/amounts_are_not_negative.sql").write_text(CHECK.replace("@severity@", severity))


@contextmanager
def no_new_rows(shop: Shop) -> Iterator[None]:
    with_dbt(shop)
    shop.prepare("adventure process", "adventure tasks run")
    DuckDBWarehouse(shop.settings()).execute("update raw_ext.orders_raw set _loaded_at = _loaded_at - interval 1 day")
    yield
    shop.execute("insert into orders values (3, 30)")


@contextmanager
def amount_negative(shop: Shop, severity: str = "error") -> Iterator[None]:
    with_dbt(shop, severity)
    shop.execute("insert into orders values (3, -30)")
    shop.prepare("adventure process")
    shop.run("adventure tasks run", 1 if severity == "error" else 0)
    yield
    shop.execute("update orders set amount = 30, updated_at = now() where id = 3")
    shop.prepare("adventure process", "adventure load")


def amount_doubted(shop: Shop) -> AbstractContextManager[None]:
    return amount_negative(shop, "warn")


@contextmanager
def cycle_fails(shop: Shop) -> Iterator[None]:
    loaded(shop)
    shop.execute("insert into orders values (3, 30)")
    with shop.service("adventure process"):
        until(lambda: "staged" in (shop.folder / "service.log").read_text())
        shop.execute("revoke select on orders from adventure_reader")
        until(lambda: shop.problem("processor_failing") is not None)
        yield
        shop.execute("grant select on orders to adventure_reader")
        until(lambda: shop.problem("processor_failing") is None)


@contextmanager
def log_piles_up(shop: Shop) -> Iterator[None]:
    """The server keeps at most 64 MB of log, 62 MB of which are unread."""
    Path("pipeline.toml").write_text(PIPELINE.replace('cursor = "updated_at"', 'mode = "log"'))
    shop.execute(
        # A role of its own: other tests read what a role without the attribute is told.
        "create role runbook_log_reader login replication password 'log' in role adventure_reader",
        "create publication adventure for table orders",
        "alter system set max_slot_wal_keep_size = '64MB'",
        "select pg_reload_conf()",
    )
    shop.environment |= {"POSTGRES_USER": "runbook_log_reader", "POSTGRES_PASSWORD": "log"}
    try:
        loaded(shop)
        shop.execute("select pg_logical_emit_message(false, '', repeat('x', 1000000)) from generate_series(1, 62)")
        yield
    finally:
        shop.execute("alter system reset max_slot_wal_keep_size", "select pg_reload_conf()")


@contextmanager
def never_read(shop: Shop) -> Iterator[None]:
    shop.prepare("adventure tasks run")
    shop.sees_sources = False
    yield


CASES: dict[str, Callable[[Shop], AbstractContextManager[None]]] = {
    "processor_failing": cycle_fails,
    "log_kept": log_piles_up,
    "stream_empty": never_read,
    "processor_stopped": processor_stopped,
    "processor_stuck": processor_stuck,
    "source_unavailable": server_away,
    "watermarks_unavailable": state_away,
    "warehouse_unavailable": warehouse_broken,
    "stream_refused": privilege_lacks,
    "watermark_mismatch": another_stage,
    "horizon_stalled": transaction_open,
    "rows_unread": rows_wait,
    "read_by_lookback": statistics_hidden,
    "window_damaged": file_damaged,
    "window_lost": window_lost,
    "windows_waiting": windows_wait,
    "tasks_overdue": tasks_overdue,
    "task_failed": build_fails,
    "reconcile_failed": row_lost,
    "rows_rejected": value_rejected,
    "test_failed": amount_negative,
    "test_warned": amount_doubted,
    "data_stale": no_new_rows,
}
