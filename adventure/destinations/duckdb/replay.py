"""Repeats an increment without dbt, whose own work takes longer than the statements for some hundred new rows.

Two increments by dbt must have said the same. Then the next ones say it again, with their own high-water marks, as long
as DuckDB answers every question as it answered dbt: tables, columns, and the counts of the tests. At the first other
answer, and at any error, dbt builds. A whole build, at least one a day, ends the replays until dbt has shown it anew.
"""

import re
import time
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

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
from adventure.destinations.duckdb.transcript import Statement, Transcript, listening

log = get_logger()

_THREADS = 2
"""As in dbt/profiles.yml."""
_OF_NOW = re.compile(r"\b(run_started_at|invocation_id|modules|selected_resources)\b|\|\s*random\b")
"""What a template can read beside the project, its settings and the warehouse."""
_OF_DBT = ("dbt", "dbt_duckdb")
"""The packages of dbt's own macros."""
_BUILT = ("model", "seed", "snapshot", "test")
_NAMED = ("exposure", "saved_query")
"""What has a result in a build, although dbt does nothing for it."""


class _OtherAnswer(Exception):
    """DuckDB answers a question in another way than it answered dbt."""


@dataclass
class _Part:
    """What dbt said of a model or test, or before all of them."""

    statements: Sequence[Statement]
    times: int = 1
    """In how many increments, one after the other, it said the same."""
    result: NodeResult = field(default_factory=dict)


@dataclass
class Replay:
    """The increments of a warehouse file, as dbt has shown them."""

    path: Path
    _made_from: Hashable = None
    _settings: Mapping[str, str] = field(default_factory=dict)
    _opening: dict[str, _Part] = field(default_factory=dict)
    """What is said first, in several sessions."""
    _nodes: dict[str, _Part] = field(default_factory=dict)
    """By dbt's id."""

    def forget(self) -> None:
        """Let dbt build the next two increments."""
        self._made_from = None
        self._opening.clear()
        self._nodes.clear()

    @contextmanager
    def learning(self, project: Parsed, manifest: Any) -> Iterator[list[NodeResult]]:
        """Learn from an increment of dbt in the block, which adds its results to the list.

        Args:
            manifest: the project as dbt's classes.
        """
        results: list[NodeResult] = []
        is_known = False
        try:
            with listening() as transcript:
                yield results
            is_shown = all(map(_is_shown_whole, manifest.nodes.values())) and not _reads_now(manifest)
            is_known = self._learn(project, transcript, results) and is_shown
        finally:
            if not is_known:
                self.forget()

    def run(self, project: Parsed, nodes: Collection[str]) -> list[NodeResult] | None:
        """Build and test these nodes, and return their results.

        Return None if dbt must build: it has not shown them twice, or something was answered in another way. What was
        built until then is built again, as after a build that was interrupted.
        """
        shown = {name for name, part in self._nodes.items() if part.times > 1}
        is_shown = shown.issuperset(nodes) and all(part.times > 1 for part in self._opening.values())
        if project.made_from != self._made_from or not is_shown:
            return None
        try:
            with open_locked(self.path) as connection:
                for part in self._opening.values():
                    self._say(connection, part.statements)
                parents, build = project.description["parent_map"], partial(self._build, connection)
                return in_order(parents, nodes, build, threads=_THREADS)
        except (_OtherAnswer, duckdb.Error) as reason:
            log.info(f"build: dbt builds this increment, because of {reason}")
            self.forget()
            return None

    def _build(self, connection: duckdb.DuckDBPyConnection, name: str) -> NodeResult:
        begun, part = time.monotonic(), self._nodes[name]
        self._say(connection, part.statements)
        heartbeat.beat()
        reached(Point.MODEL_BUILT, name_of(part.result))
        return {**part.result, "execution_time": time.monotonic() - begun, "timing": []}

    def _say(self, connection: duckdb.DuckDBPyConnection, statements: Sequence[Statement]) -> None:
        """Say the statements in a session of their own, as dbt does.

        Raises:
            _OtherAnswer: see there.
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

    def _learn(self, project: Parsed, transcript: Transcript, results: Sequence[NodeResult]) -> bool:
        """Return whether the statements show all that dbt did."""
        if project.made_from != self._made_from:
            self.forget()
        self._made_from, self._settings = project.made_from, transcript.settings
        opening = {"\n".join(each.sql for each in session): session for session in transcript.opening}
        for text, statements in {**opening, **{text: [each] for text, each in transcript.once.items()}}.items():
            _add(self._opening, text, _Part(statements))
        for result in results:
            if kind_of(result) in _BUILT:
                name = result["unique_id"]
                _add(self._nodes, name, _Part(transcript.nodes.pop(name, []), result=result))
        # Such as the project's hooks, which dbt runs at the begin and the end.
        others = {name.split(".")[0] for name in transcript.nodes} - {*_NAMED}
        others |= {kind_of(each) for each in results} - {*_BUILT, *_NAMED}
        return bool(results) and not others and not transcript.unknown


def _add(parts: dict[str, _Part], name: str, part: _Part) -> None:
    """Keep a part, and in how many increments it was the same."""
    before = parts.get(name)
    if before and has_its_marks(part.statements) and _lasting(before.statements) == _lasting(part.statements):
        part.times = before.times + 1
    parts[name] = part


def _lasting(statements: Sequence[Statement]) -> list[tuple[object, ...]]:
    """Return what two increments must have in common."""
    return [(without_marks(each.sql), each.columns, asked_for(each) or each.rows) for each in statements]


def _reads_now(manifest: Any) -> bool:
    """Return whether a template of the project or its packages may read the time or the run."""
    nodes = (getattr(node, "raw_code", "") for node in manifest.nodes.values())
    macros = (macro.macro_sql for macro in manifest.macros.values() if macro.package_name not in _OF_DBT)
    return any(_OF_NOW.search(text) for text in chain(nodes, macros))


def _is_shown_whole(node: Any) -> bool:
    """Return whether statements show what a node does, and may be said again where dbt builds after a replay."""
    settings = node.config
    has_hooks = bool(getattr(settings, "pre_hook", ()) or getattr(settings, "post_hook", ()))
    adds = getattr(settings, "materialized", "") == "incremental"
    # Without a key, a build after a replay would add the same rows again. Batches of time depend on the clock.
    return not has_hooks and not (adds and (not settings.unique_key or settings.incremental_strategy == "microbatch"))
