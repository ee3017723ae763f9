"""A pooler in session mode changes nothing; one in transaction mode is refused for source and state database."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from adventure.core.errors import SourceRefused
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox import Sandbox
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import State, read_watermarks
from adventure.processor.state_session import repairing
from adventure.reconcile.run import reconcile
from tests.pooler import PGBOUNCER, Pool, poolers
from tests.processor.conftest import Rows, writer
from tests.waiting import until

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")

Staged = Callable[[Stream], Rows]


@pytest.fixture
def pool(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Start a pooler in front of the embedded server; return its port."""
    with poolers(sandbox, lambda: tmp_path_factory.mktemp("pgbouncer")) as start:
        yield start


def through(settings: Settings, port: int, *, source: bool = False, state: bool = False) -> Settings:
    """Return the same settings, but with connections through the pooler."""
    update: dict[str, Any] = {"postgres_port": port} if source else {}
    if state:
        update["state_dsn"] = SecretStr(make_conninfo(settings.state_conninfo, port=port))
    return settings.model_copy(update=update)


@pytest.fixture
def row(things: Stream, writer_settings: Settings) -> None:
    with writer(writer_settings) as connection:
        connection.execute("insert into things (id) values (1)")


@pytest.mark.usefixtures("row")
def test_a_pooler_in_session_mode_changes_nothing(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged, pool: Pool
) -> None:
    port = pool("session")
    pooled = through(settings, port, source=True, state=True)
    with open_pipeline(pooled, [things]) as pipeline:
        for number in range(2, 12):
            run_cycle(pipeline)
            with writer(writer_settings) as connection:
                connection.execute("insert into things (id) values (%s)", [number])
    process_once(pooled, [things])
    assert [row["id"] for row in staged(things)] == list(range(1, 12))
    assert read_watermarks(pooled)["things"].mode == "horizon"


@pytest.mark.usefixtures("row")
def test_a_pool_in_session_mode_that_is_full_is_waited_for_only_shortly(
    settings: Settings, things: Stream, staged: Staged, pool: Pool
) -> None:
    """The state needs one session; the check for a session of its own must not need a second one."""
    process_once(through(settings, pool("session", default_pool_size=1), state=True), [things])
    assert [row["id"] for row in staged(things)] == [1]


@pytest.mark.usefixtures("row")
@pytest.mark.parametrize("more", [{}, {"server_round_robin": 1, "min_pool_size": 3}], ids=["last", "round robin"])
@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("whose", ["source", "state"])
def test_a_pooler_that_shares_sessions_is_refused(
    settings: Settings, things: Stream, staged: Staged, pool: Pool, mode: str, whose: str, more: dict[str, int]
) -> None:
    pooled = through(settings, pool(mode, **more), **{whose: True})
    with pytest.raises(SourceRefused, match=f"the {whose} database.* pooler") as caught:
        process_once(pooled, [things])
    assert "session" in caught.value.remedy
    assert ("STATE_DSN" if whose == "state" else "POSTGRES_HOST") in caught.value.remedy
    assert staged(things) == []


_ADVISORY_LOCKS = """
select count(*) from pg_locks join pg_database on pg_database.oid = pg_locks.database
where locktype = 'advisory' and datname = current_database()
"""


@pytest.mark.usefixtures("row")
def test_no_lock_and_no_setting_is_left_in_a_shared_session(settings: Settings, things: Stream, pool: Pool) -> None:
    port = pool("transaction")
    pooled = through(settings, port, source=True, state=True)
    with pytest.raises(SourceRefused):
        State(pooled, [things])
    with pytest.raises(SourceRefused), repairing(pooled, things):
        pass
    with pytest.raises(SourceRefused):
        process_once(through(settings, port, source=True), [things])
    with psycopg.connect(pooled.state_conninfo, autocommit=True) as connection:
        # The server may still be ending the session of the last call, which was no shared one.
        until(lambda: connection.execute(_ADVISORY_LOCKS).fetchone() == (0,))
    with psycopg.connect(pooled.postgres_dsn, autocommit=True) as connection:
        assert connection.execute("show row_security").fetchone() == ("on",)


@pytest.mark.usefixtures("row")
def test_reconcile_through_a_shared_session_is_refused(settings: Settings, things: Stream, pool: Pool) -> None:
    process_once(settings, [things])
    (report,) = reconcile(through(settings, pool("transaction"), source=True), [things])
    assert isinstance(report.failure, SourceRefused)
