"""The two connections of a PostgreSQL source: one for questions, and one that reads rows in the open snapshot."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime

import psycopg
import pyarrow as pa

from adventure.core.connect import PROBE_CLIENT, translating_postgres
from adventure.core.errors import SourceError, SourceUnavailable
from adventure.core.files import Reject
from adventure.core.kinds import WAREHOUSES
from adventure.core.settings import Settings
from adventure.core.sql_text import quoted
from adventure.core.watermark import Watermark
from adventure.sources.postgres.copy_session import open_copy_session
from adventure.sources.postgres.early_query import EarlyQuery
from adventure.sources.postgres.origin import origin_query
from adventure.sources.postgres.plan import Plan
from adventure.sources.postgres.rejects import rejected_rows_query, rejects_of
from adventure.sources.postgres.relations import Member, Relation, rows_in
from adventure.sources.postgres.session import connect_source, extracting_conninfo, session_settings, source_name
from adventure.sources.postgres.warnings import FUTURE, WarningLog, rows_in_the_future
from adventure.sources.postgres.zone import ZoneWatch
from adventure.sources.progress import log_progress

_SAVEPOINT = "before_extract"
_BACK = f"rollback to savepoint {_SAVEPOINT}"

_FINGERPRINT = """
select string_agg(concat_ws('/', c.oid, c.relfilenode, a.columns), ',' order by c.oid)
from pg_class as c
cross join lateral (
    select string_agg(concat_ws(' ', attnum, attname, atttypid, atttypmod), ';' order by attnum) as columns
    from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped
) as a
where c.oid = any(%s)
"""


class Reader:
    """Open connections to the source database.

    Args:
        retry_for: seconds for which a server that does not answer is tried again.

    Raises:
        SourceError: the server does not answer, or refuses.
    """

    def __init__(self, settings: Settings, retry_for: float | None = None) -> None:
        self.settings = settings
        self.name = source_name(settings)
        self.warnings = WarningLog(self.name.label)
        self.conninfo = settings.postgres_dsn
        self._connections = ExitStack()
        try:
            self._connect(retry_for)
        except BaseException:
            self.close()
            raise

    def _connect(self, retry_for: float | None) -> None:
        self.asking = connect_source(self.settings, retry_for=retry_for, silence=self.settings.silence_sec)
        self._connections.callback(self.asking.close)
        self.utf8 = self.asking.info.parameter_status("server_encoding") != "SQL_ASCII"
        with self.translating():
            self.asking.execute("set client_encoding = 'UTF8'")
            # Do this before our session settings, which hide those of the role.
            self.zones = ZoneWatch.of(self.asking)
            self.asking.execute(session_settings(self.asking, "UTF8", self.settings.hash_key).encode())
            self.origin_query = origin_query(self.asking)
            # A server with SQL_ASCII would fail at the first invalid text. Let it send bytes; we check them here.
            statements = session_settings(self.asking, "UTF8" if self.utf8 else "SQL_ASCII", self.settings.hash_key)
            extracting = extracting_conninfo(self.asking, self.conninfo, self.name)
        self.copying = open_copy_session(extracting, self.name, self.settings.silence_sec)
        self._connections.callback(self.copying.close)
        self.early = EarlyQuery(self.copying)
        self.copying.execute(statements)
        self.copying.execute(PROBE_CLIENT)
        with self.copying.batches("select pg_backend_pid() as pid") as batches:
            self.copying_pid = int(next(batches)["pid"][0].as_py())

    @property
    def delta(self) -> bool:
        """Whether the warehouse reads Parquet's delta encodings."""
        return WAREHOUSES[self.settings.warehouse].delta_encodings

    def close(self) -> None:
        """Close both connections."""
        self._connections.close()

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turn errors of the connection for questions into those of the error tree."""
        with translating_postgres(self.conninfo, self.name):
            try:
                yield
            except psycopg.errors.LockNotAvailable as error:
                raise SourceUnavailable(
                    "A session waits to change a table while it is read (alter table, refresh, truncate, vacuum full)",
                    "The processor lets that session go first, and reads again in its next cycle",
                ) from error

    @contextmanager
    def batches(self, plan: Plan, query: str) -> Iterator[Iterator[pa.RecordBatch]]:
        """Yield the batches of a query in the open snapshot, with prefetch. It may be under way already."""
        if not self.early.runs(query):
            self._cancel_early()
            self.begin(plan, query)
        with self.early.take() as batches:
            yield log_progress(plan.stream, batches, "rows")

    def begin(self, plan: Plan, query: str) -> None:
        """Let the server begin a query for `batches`."""
        decimals = {column.name: column.type for column in plan.columns if pa.types.is_decimal(column.type)}
        self.early.begin(query, decimals)

    def _cancel_early(self) -> None:
        if self.early.cancel():
            self.copying.execute(_BACK)

    def value_after(self, plan: Plan, rows: int, low: datetime | None, end: datetime) -> datetime | None:
        """Return the cursor below which a window of so many rows ends; None if no more rows lie below `end`."""
        self._cancel_early()
        with self.copying.batches(plan.value_after(rows, low, end)) as batches:
            found = [value for batch in batches for value in batch.column(0).to_pylist()]
        return found[0] if found else None

    def set_savepoint(self) -> None:
        """Set the savepoint to which the transaction returns if the next extract fails.

        Where its query is under way, the savepoint before that is as good: nothing is written.
        """
        if not self.early.runs():
            self.copying.execute(f"savepoint {_SAVEPOINT}")

    def rolls_back_to_savepoint(self) -> bool:
        """Roll back to the savepoint; return whether both connections still work."""
        self.early.cancel()
        try:
            self.copying.execute(_BACK)
            with self.translating():
                self.asking.execute("select")
        except SourceError:
            return False
        return True

    def rejects(self, plan: Plan, condition: str) -> Iterator[Reject]:
        """Yield the rows under the condition that cannot be converted, as PostgreSQL prints them."""
        with self.batches(plan, rejected_rows_query(plan, condition, utf8=self.utf8)) as batches:
            yield from rejects_of(plan, batches)

    def notes(self, plan: Plan, *, new: bool) -> dict[str, str]:
        """Return the notes for the stream's window. Without a window, log the warning once instead.

        Args:
            new: whether there is a window.
        """
        if not new and not self.warnings.looks_now(plan, "future"):
            return {}
        with self.translating():
            future = rows_in_the_future(plan, self.asking)
        if not new:
            self.warnings.of_future(plan, future)
        return {FUTURE: future} if future else {}

    def fingerprint(self, relation: Relation) -> str | None:
        """Return a text that changes when a table is rewritten, truncated, or gets other columns."""
        with self.translating():
            found = self.asking.execute(_FINGERPRINT, [[member.oid for member in relation.members]]).fetchone()
        return found[0] if found else None

    def attached(self, plan: Plan, relation: Relation, mark: Watermark) -> Callable[[str], str] | None:
        """Return a function from an alias to the condition that a row lies in a newly attached relation, or None."""
        new = relation.new_since(mark.position)
        if not new:
            return None
        self.warnings.of_attached(plan.stream, new)
        if plan.relation != plan.table:
            # A subquery has no tableoid that would show in which partition a row lies.
            return lambda _: "true"
        with self.translating():
            return rows_in(self.asking, relation, new)

    def lies_in(self, plan: Plan, relation: Relation, members: Sequence[Member]) -> str:
        """Return the condition that a row of `t` lies in these members, whose key the server keeps unique."""
        with self.translating():
            lies_in = rows_in(self.asking, relation, members)
        key = ", ".join(quoted(name) for name in plan.stream.key)
        within = ", ".join(f"r.{quoted(name)}" for name in plan.stream.key)
        return f"(({key}) in (select {within} from {plan.table} as r where {lies_in('r')}))"
