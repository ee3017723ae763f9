"""Repeats an increment without dbt, whose own work takes longer than the statements for some hundred new rows.

dbt must have sent the same statements in two increments. Then the next ones send them again, with their own marks,
as long as DuckDB answers every question as it answered dbt: tables, columns, and the counts of the tests. At the
first other answer, and when a statement fails, dbt builds. A whole build, at least one a day, ends the replays;
then dbt must show two increments again.
"""

import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import duckdb

from adventure.core import heartbeat
from adventure.core.faults import Point, reached
from adventure.core.log import get_logger
from adventure.core.sql_text import literal
from adventure.destinations.common.dbt_results import NodeResult, kind_of, name_of
from adventure.destinations.common.parsed import Parsed
from adventure.destinations.duckdb.connection import open_locked
from adventure.destinations.duckdb.marks import Marks, asked_for, fits, has_its_marks, with_marks, without_marks
from adventure.destinations.duckdb.order import in_order
from adventure.destinations.duckdb.repeatable import why_not
from adventure.destinations.duckdb.transcript import Statement, Transcript, listening

log = get_logger()

_BUILT = ("model", "seed", "snapshot", "test")
_NAMED = ("exposure", "saved_query")
"""What has a result in a build, although dbt does nothing for it."""


class _OtherAnswer(Exception):
    """DuckDB answers a question in another way than it answered dbt."""


@dataclass
class _Part:
    """What dbt sent for a model or test, or before all of them."""

    statements: Sequence[Statement]
    times: int = 1
    """In how many increments, one after the other, it was the same."""
    result: NodeResult = field(default_factory=dict)


@dataclass
class Replay:
    """The increments of a warehouse file, as dbt has shown them."""

    path: Path
    _made_from: Hashable = None
    _settings: Mapping[str, str] = field(default_factory=dict)
    _threads: int = 1
    _opening: dict[str, _Part] = field(default_factory=dict)
    """What is sent first, by its text; each in a session of its own."""
    _once: dict[str, _Part] = field(default_factory=dict)
    """What is asked once for all models, by its text."""
    _nodes: dict[str, _Part] = field(default_factory=dict)
    """By dbt's id."""
    _reason: str = ""
    """Why the last increment of dbt cannot be repeated."""

    def forget(self) -> None:
        """Let dbt build the next two increments."""
        self._made_from, self._threads = None, 1
        for parts in (self._opening, self._once, self._nodes):
            parts.clear()

    def learn(self, project: Parsed, manifest: object, build: Callable[[], list[NodeResult]]) -> list[NodeResult]:
        """Let dbt build an increment, and return its results.

        Args:
            manifest: the project as dbt's classes.
            build: runs dbt.
        """
        try:
            with listening() as transcript:
                results = build()
        except BaseException:
            self.forget()
            raise
        reason = why_not(manifest) or self._learn(project, transcript, results)
        if reason:
            self.forget()
        if reason != self._reason:
            log.info(f"build: dbt builds every increment, because {reason}" if reason else "build: dbt can be repeated")
        self._reason = reason
        return results

    def run(self, project: Parsed, nodes: Collection[str]) -> list[NodeResult] | None:
        """Build and test these nodes, and return their results.

        Return None if dbt must build: it has not shown them twice, or something was answered in another way. What was
        built until then is built again, as after a build that was interrupted.
        """
        shown = {name for name, part in self._nodes.items() if part.times > 1}
        first = [*self._opening.values(), *self._once.values()]
        is_shown = shown.issuperset(nodes) and all(part.times > 1 for part in first)
        if project.made_from != self._made_from or not is_shown:
            return None
        try:
            with open_locked(self.path) as connection:
                for part in first:
                    self._execute(connection, part.statements)
                parents, build = project.description["parent_map"], partial(self._build, connection)
                return in_order(parents, nodes, build, threads=self._threads)
        except (_OtherAnswer, duckdb.Error) as reason:
            log.info(f"build: dbt builds this increment, because of {reason}")
            self.forget()
            return None

    def _build(self, connection: duckdb.DuckDBPyConnection, name: str) -> NodeResult:
        begun, part = time.monotonic(), self._nodes[name]
        self._execute(connection, part.statements)
        heartbeat.beat()
        reached(Point.MODEL_BUILT, name_of(part.result))
        return {**part.result, "execution_time": time.monotonic() - begun, "timing": []}

    def _execute(self, connection: duckdb.DuckDBPyConnection, statements: Sequence[Statement]) -> None:
        """Send the statements in a session of their own, as dbt does.

        Raises:
            _OtherAnswer: an answer differs from the one that dbt got.
        """
        marks: Marks = {}
        with connection.cursor() as session:
            for name, value in self._settings.items():
                session.execute(f"set {name} = {literal(value)}")
            for each in statements:
                session.execute(with_marks(each.sql, marks))
                columns, rows = str(session.description), None if each.rows is None else session.fetchall()
                column = asked_for(each)
                if column and rows and fits(each, rows):
                    marks[column] = rows[0][0]
                elif columns != each.columns or (rows is not None and repr(rows) != each.rows):
                    raise _OtherAnswer(f"another answer to: {' '.join(each.sql.split())[:300]}")

    def _learn(self, project: Parsed, transcript: Transcript, results: Sequence[NodeResult]) -> str:
        """Keep what dbt sent, and return why it does not show all that dbt did; an empty text if it does."""
        if project.made_from != self._made_from:
            self.forget()
        self._made_from, self._settings = project.made_from, transcript.settings
        self._threads = max(self._threads, len({each["thread_id"] for each in results}))
        self._learn_opening(transcript)
        built = [each for each in results if kind_of(each) in _BUILT]
        for result in built:
            name = result["unique_id"]
            _add(self._nodes, name, _Part(transcript.nodes.pop(name, []), result=result))
        unseen = [name_of(each) for each in built if not self._nodes[each["unique_id"]].statements]
        # Such as the project's hooks, which dbt runs at the begin and the end.
        others = {name.split(".")[0] for name in transcript.nodes} | {kind_of(each) for each in results}
        others -= {*_BUILT, *_NAMED}
        if unseen or others or transcript.unknown or not transcript.opening:
            return f"of what its statements do not show: {', '.join([*unseen, *others, *transcript.unknown]) or 'all'}"
        return ""

    def _learn_opening(self, transcript: Transcript) -> None:
        opening = {"\n".join(each.sql for each in session): session for session in transcript.opening}
        once = {text: [question] for text, question in transcript.once.items()}
        # A session may be there once, such as for a new schema. A part of the models may need fewer questions.
        self._opening = {text: part for text, part in self._opening.items() if text in opening}
        for kept, now in ((self._opening, opening), (self._once, once)):
            for text, statements in now.items():
                if text in kept and _lasting(kept[text].statements) != _lasting(statements):
                    # What dbt sent for the models may have depended on the answer.
                    self._nodes.clear()
                _add(kept, text, _Part(statements))


def _add(parts: dict[str, _Part], name: str, part: _Part) -> None:
    """Keep a part, and in how many increments it was the same."""
    before = parts.get(name)
    if before and has_its_marks(part.statements) and _lasting(before.statements) == _lasting(part.statements):
        part.times = before.times + 1
    parts[name] = part


def _lasting(statements: Sequence[Statement]) -> list[tuple[object, ...]]:
    """Return what two increments must have in common."""
    return [(without_marks(each.sql), each.columns, asked_for(each) or each.rows) for each in statements]
