"""The column by which a table grows, for `mode = "append"`: which ids may be read, and which were. See `sampling`."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg

from adventure.core.ids import NUMBERS, UUIDS, Kind, Position, Sample
from adventure.core.spans import micros
from adventure.core.sql_text import quoted
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.sources.postgres.horizon import FALLBACK_LOOKBACK, Horizon
from adventure.sources.postgres.plan import Plan, plan_stream
from adventure.sources.postgres.relations import Relation

Connection = psycopg.Connection[tuple[Any, ...]]

_KINDS = dict.fromkeys(("int2", "int4", "int8", "numeric"), NUMBERS) | {"uuid": UUIDS}


_PREPARED = "-1/"
"""The virtual transaction of a prepared transaction, which had another one before."""


@dataclass(frozen=True)
class Growing:
    """The column by which a table grows, in one cycle."""

    stream: Stream
    kind: Kind
    column: str
    """Its quoted name."""
    sequence: str | None
    """The sequence that hands out its values; None if there is none."""
    unsure: str | None
    """Why lower ids may still come, whatever transactions are open; None when none can."""
    samples: tuple[Sample, ...]
    """The samples of earlier cycles and of this one, by time."""
    note: str = ""
    """What the operator should know of rows that are not read."""
    now: frozenset[str] = field(default_factory=frozenset)
    """The transactions that hold locks now."""
    clock: datetime = datetime.min
    """The server's clock, naive UTC."""

    def wait(self, horizon: Horizon) -> timedelta:
        """Return how long to wait with new ids."""
        unsure = self.unsure or (self.kind.is_uuid and horizon.unknown_reason)
        return max(self.stream.lookback, FALLBACK_LOOKBACK) if unsure else self.stream.lookback

    def mode(self, horizon: Horizon) -> str:
        """Return how the table is read, for its watermark."""
        unsure = self.unsure or (self.kind.is_uuid and horizon.unknown_reason)
        return f"append after {self.wait(horizon).total_seconds():g} s: {unsure}" if unsure else "append"

    def end(self, horizon: Horizon) -> int | None:
        """Return the id below which all rows that will ever commit have committed; None if that is not known yet."""
        wait = self.wait(horizon)
        if self.kind.is_uuid:
            return uuid_at(horizon.moment - wait)
        for sample in reversed(self.samples):
            if sample.at <= self.clock - wait and self._is_over(sample):
                return sample.below
        return None

    def between(self, low: int | None, high: int | None, alias: str = "t") -> str:
        """Return the condition `low <= id < high`."""
        name = f"{alias}.{self.column}"
        parts = [f"{name} >= {literal(self.kind, low)}"] if low is not None else []
        parts += [f"{name} < {literal(self.kind, high)}"] if high is not None else []
        return f"({' and '.join(parts) or 'true'})"

    def _is_over(self, sample: Sample) -> bool:
        # A transaction gets another number when it is prepared, so that it may be any of those that were seen.
        return not self.now.intersection(sample.holders) and not any(each.startswith(_PREPARED) for each in self.now)


def uuid_at(moment: datetime) -> int:
    """Return the lowest UUID of version 7 that is made at this time or later."""
    return max(0, micros(moment) // 1000) << 80


def kind_of(type_name: str | None) -> Kind | None:
    """Return the kind of ids of PostgreSQL's type; None if it is no type of ids."""
    return _KINDS.get(type_name or "")


def begin(mark: Watermark | None, plan: Plan, relation: Relation) -> Position:
    """Return where to read on: at the beginning if the table was created again."""
    kind = kind_of(plan.type_names.get(plan.stream.append_by or ""))
    position = Position.of(mark, kind) if kind else Position()
    return Position() if relation.root in relation.new_since(position.parts) else position


def unread(connection: Connection, stream: Stream, mark: Watermark | None) -> str | None:
    """Return the condition on `t` for rows that no window has read; None if nothing was read.

    Raises:
        SourceShapeError: the table or a column does not exist.
        psycopg.Error: the server failed.
    """
    name = stream.append_by or ""
    kind = kind_of(plan_stream(connection, stream, utf8=True).type_names.get(name))
    below = Position.of(mark, kind).below if kind else None
    return f"t.{quoted(name)} >= {literal(kind, below)}" if kind and below is not None else None


def literal(kind: Kind, value: int) -> str:
    """Return the id as an SQL literal."""
    return f"uuid '{kind.text(value)}'" if kind.is_uuid else f"({value})"
