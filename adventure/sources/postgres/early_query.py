"""Let the server begin the next stream's query while the rows of the stream before it are written and staged."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

import pyarrow as pa

from adventure.core.errors import SourceError
from adventure.sources.postgres.copy import CopySession


class EarlyQuery:
    """A query that runs in a session before its rows are asked for; at most one.

    Nothing else can run in the session meanwhile: `take` or `cancel` comes before every other statement.
    """

    def __init__(self, session: CopySession) -> None:
        self._session = session
        self._query: str | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._running = ExitStack()

    def begin(self, query: str, decimals: Mapping[str, pa.Decimal128Type]) -> None:
        """Begin a query; a thread fetches its first batches. Its errors are raised by the batches that `take` yields.

        Args:
            decimals: see `CopySession.batches`.
        """
        # First, so that an interrupt between the two loses no query.
        self._query = query
        self._batches = self._running.enter_context(self._session.batches(query, decimals))

    def runs(self, query: str | None = None) -> bool:
        """Return whether this query is under way; without an argument, whether any is."""
        return self._query is not None and query in (None, self._query)

    @contextmanager
    def take(self) -> Iterator[Iterator[pa.RecordBatch]]:
        """Yield the batches of the query under way, which ends with the block."""
        running = self._running.pop_all()
        self._query = None
        with running:
            yield self._batches

    def cancel(self) -> bool:
        """Cancel the query under way, and return whether there was one: the transaction may have failed with it.

        The connection ends with it where the server does not end it soon.
        """
        if self._query is None:
            return False
        # A lost connection shows in the next statement.
        with suppress(_NotWanted, SourceError), self.take():
            raise _NotWanted
        return True


class _NotWanted(Exception):
    """Ends a query early. Internal to this module."""
