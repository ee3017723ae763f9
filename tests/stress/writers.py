"""Writing sessions with different protocols, which record the acknowledged version of each row."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import pq

Versions = dict[int, int]
"""The last version of each row, by its id."""

DELETED = 1_000_000
"""The version of a row that was deleted. Its id is not used again."""


@dataclass
class Change:
    """A statement and the versions that it writes."""

    sql: str
    versions: Versions


@dataclass
class Writer:
    """A session that writes only its own rows."""

    connection: psycopg.Connection[tuple[Any, ...]]
    number: int
    target: str
    acknowledged: Versions = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.number)
        self._next = self.number * 1_000_000
        self._versions: Versions = {}

    def change(self) -> Change:
        """Insert a few rows, or update one."""
        if self._versions and self._random.random() < 0.3:
            key = self._random.choice(list(self._versions))
            self._versions[key] += 1
            update = f"update {self.target} set version = version + 1, changed_at = default where id = {key}"
            return Change(update, {key: self._versions[key]})
        keys = self.new_keys()
        return Change(
            f"insert into {self.target} (id) values {', '.join(f'({key})' for key in keys)}", dict.fromkeys(keys, 1)
        )

    def deletion(self) -> Change | None:
        """Delete a row in two of five calls."""
        if self._random.random() > 0.4:
            return None
        key = self._random.choice(list(self._versions))
        del self._versions[key]
        return Change(f"delete from {self.target} where id = {key}", {key: DELETED})

    def new_keys(self) -> list[int]:
        """Return keys for new rows."""
        keys = [self._next + index for index in range(self._random.randint(1, 3))]
        self._next += len(keys)
        self._versions |= dict.fromkeys(keys, 1)
        return keys

    def send(self, message: str) -> None:
        """Send one message of the simple protocol."""
        result = self.connection.pgconn.exec_(message.encode())
        if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            raise psycopg.DatabaseError(result.get_error_message())

    def acknowledge(self, *changes: Change) -> None:
        """Record versions whose commit the server acknowledged."""
        for change in changes:
            self.acknowledged |= change.versions

    def pause(self, longest: float) -> None:
        """Sleep for a short random time."""
        time.sleep(self._random.uniform(0, longest))


def _single(writer: Writer) -> None:
    change = writer.change()
    writer.send(change.sql)
    writer.acknowledge(change)


def _deleting(writer: Writer) -> None:
    _single(writer)
    if len(writer.acknowledged) > 5 and (change := writer.deletion()):
        writer.send(change.sql)
        writer.acknowledge(change)


def _prepared(writer: Writer) -> None:
    change = writer.change()
    writer.connection.execute(change.sql.encode(), prepare=True)
    keys = writer.new_keys()
    for key in keys:
        writer.connection.execute(f"insert into {writer.target} (id) values (%s)".encode(), [key], prepare=True)
    writer.acknowledge(change, Change("", dict.fromkeys(keys, 1)))


def _pipelined(writer: Writer) -> None:
    changes = [writer.change() for _ in range(4)]
    with writer.connection.pipeline():
        writer.connection.execute("begin")
        writer.connection.execute(changes[0].sql.encode())
        writer.connection.execute(changes[1].sql.encode())
        writer.connection.execute("commit")
        for change in changes[2:]:
            writer.connection.execute(change.sql.encode())
    writer.acknowledge(*changes)


def _copied(writer: Writer) -> None:
    keys = writer.new_keys()
    with writer.connection.cursor().copy(f"copy {writer.target} (id) from stdin".encode()) as copy:
        for key in keys:
            copy.write_row([key])
            writer.pause(0.1)
    writer.acknowledge(Change("", dict.fromkeys(keys, 1)))


def _open(writer: Writer) -> None:
    changes = [writer.change(), writer.change()]
    writer.send("begin")
    for change in changes:
        writer.send(change.sql)
        writer.pause(0.5)
    writer.send("commit")
    writer.acknowledge(*changes)


def _savepoints(writer: Writer) -> None:
    changes = [writer.change(), writer.change()]
    writer.send("begin")
    writer.send(changes[0].sql)
    writer.send("savepoint s")
    result = writer.connection.pgconn.exec_(b"select 1 / 0")
    assert result.status == pq.ExecStatus.FATAL_ERROR
    writer.pause(0.2)
    writer.send("rollback to savepoint s")
    writer.send(changes[1].sql)
    writer.send("commit")
    writer.acknowledge(*changes)
    writer.send(f"begin; insert into {writer.target} (id) values (-{writer.number + 1}); rollback")


# Transactions without rows make it likely that the processor reads between two of them, when no transaction seems open.
_EMPTY = 8


def _many(writer: Writer) -> None:
    changes = [writer.change() for _ in range(400)]
    empty = "begin; commit;" * _EMPTY
    sent = "".join(f"begin; {change.sql}; commit; {empty}" for change in changes)
    writer.send("set synchronous_commit = off;" + sent)
    writer.acknowledge(*changes)


def _chained(writer: Writer) -> None:
    changes = [writer.change() for _ in range(400)]
    empty = "commit and chain;" * _EMPTY
    sent = "".join(f"{change.sql}; commit and chain; {empty}" for change in changes)
    writer.send(f"set synchronous_commit = off; begin; {sent} commit")
    writer.acknowledge(*changes)


def _procedure(writer: Writer) -> None:
    changes = [writer.change() for _ in range(8)]
    body = " ".join(f"{change.sql}; commit; perform pg_sleep(0.03);" for change in changes)
    writer.send(f"do $$ begin {body} end $$")
    writer.acknowledge(*changes)


def _two_phase(writer: Writer) -> None:
    change, name = writer.change(), f"{writer.target}_{writer.number}_{writer._next}"
    writer.send("begin")
    writer.send(change.sql)
    writer.send(f"prepare transaction '{name}'")
    writer.pause(0.4)
    writer.send(f"commit prepared '{name}'")
    writer.acknowledge(change)
    writer.pause(0.4)


PROTOCOLS: dict[str, Callable[[Writer], None]] = {
    "single statements": _single,
    "deletions": _deleting,
    "prepared statements": _prepared,
    "pipelined": _pipelined,
    "copy": _copied,
    "open transactions": _open,
    "savepoints and rollbacks": _savepoints,
    "many transactions a message": _many,
    "chained": _chained,
    "a procedure that commits": _procedure,
    "two-phase": _two_phase,
}
