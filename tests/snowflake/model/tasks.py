"""Tasks that obey their WHEN and end after their hour, and streams that only a committed statement consumes."""

import ast
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tests.snowflake.model.backlog import Backlog
from tests.snowflake.model.rights import Refused, Rights, Thing
from tests.snowflake.model.session import Session
from tests.snowflake.procedure import SCRIPT

CALL_SEC = 0.3
"""What one call of the account takes in the model's time."""


class Killed(Exception):
    """The account ended the task at its time limit, and rolled its open transaction back."""


class Stream:
    """A stream on a stage's directory: whether files were shown that no committed statement has read."""

    def __init__(self) -> None:
        self.has_data = self.is_stale = False


@dataclass(frozen=True)
class Run:
    """A row of TASK_HISTORY."""

    task: str
    state: str
    begin: float
    """Seconds of the model's time, as is `end`."""
    end: float


class Tasks:
    """The account's tasks. A run calls the procedure with the rights of the task's owner.

    Args:
        backlogs: the stages of these tasks.
        run: the procedure.
    """

    def __init__(self, rights: Rights, backlogs: Sequence[Backlog], run: Callable[..., str]) -> None:
        self.rights, self.procedure = rights, run
        self.backlogs = {backlog.stage: backlog for backlog in backlogs}
        self.streams = {name: Stream() for kind, name in rights.things if kind == "STREAM"}
        self.verbs = Counter[str]()

    @property
    def calls(self) -> int:
        """Return how many statements the runs have sent."""
        return self.verbs.total()

    def refresh(self, stage: str) -> None:
        """Show new files in a stage's directory."""
        self.streams[f"{stage.upper()}_FILES"].has_data = True

    def recreate(self, statement: str) -> None:
        """Run CREATE STREAM again. IF NOT EXISTS leaves a stream stale; a replaced one begins with the next file."""
        if found := re.match(r"create (or replace )?stream (?:if not exists )?(\S+) on stage", statement):
            name = next(each for each in self.streams if each.endswith(f".{found[2].rpartition('.')[2].upper()}"))
            if found[1]:
                self.streams[name] = Stream()

    def execute(self, name: str) -> str:
        """Run EXECUTE TASK, which obeys WHEN, and return the state of the run in TASK_HISTORY.

        Raises:
            Refused: it is not the first task of its graph, or the task's owner lacks a privilege.
        """
        task = self.task(name)
        if self.rights.root_of(task) is not task:
            raise Refused(f"{task.name} is not a root task")
        return self.run_graph(task)[0].state

    def task(self, name: str) -> Thing:
        """Return a task by its full name."""
        task = self.rights.find("TASK", name.upper())
        assert task is not None, name
        return task

    def run_graph(self, root: Thing, begin: float = 0.0) -> list[Run]:
        """Run a task and, while the runs succeed, the tasks after it that are resumed."""
        runs = [self._run(root, begin)]
        for each in self.rights.inside(root.parent):
            is_next = re.search(r" after (\w+) ", each.text) and self.rights.root_of(each) is root
            if each.kind == "TASK" and is_next and each.is_resumed and runs[-1].state == "SUCCEEDED":
                runs.append(self._run(each, runs[-1].end))
        return runs

    def is_due(self, task: Thing) -> bool:
        """Return whether the task's WHEN holds. Reading a stale stream is an error of the run, which is due."""
        stream = self._stream(task)
        return stream is None or stream.has_data or stream.is_stale

    def _stream(self, task: Thing) -> Stream | None:
        when = re.search(r" when system\$stream_has_data\('(\w+)'\) ", task.text)
        return self.streams[f"{task.parent}.{when[1].upper()}"] if when else None

    def _run(self, task: Thing, begin: float) -> Run:
        if not self.is_due(task):
            return Run(task.name, "SKIPPED", begin, begin)
        if (stream := self._stream(task)) and stream.is_stale:
            return Run(task.name, "FAILED", begin, begin)
        (call,) = re.findall(r" call run_stage_task\((.*)\)$", task.text)
        session = _TaskSession(self, task, *_arguments(call)[3:4])
        state = "SUCCEEDED"
        try:
            self.procedure(session, *_arguments(call))
        except Refused:
            raise
        except Killed:
            session.end_transaction(is_committed=False)
            state = "CANCELLED"
        except Exception:  # noqa: BLE001 - the procedure's own failures, of which TASK_HISTORY has the text
            state = "FAILED"
        return Run(task.name, state, begin, begin + session.seconds)


class _TaskSession:
    """What the procedure sees as its session."""

    def __init__(self, tasks: Tasks, task: Thing, stage: str) -> None:
        self.tasks, self.seconds = tasks, 0.0
        (limit,) = re.findall(r" user_task_timeout_ms = (\d+) ", task.text)
        self._limit, self._backlog = int(limit) / 1000, tasks.backlogs[stage]
        tasks.rights.users["SYSTEM"] = {task.owner}
        database, _, name = task.parent.partition(".")
        self._rights = Session(tasks.rights, "SYSTEM", task.owner, database=database, schema=name)
        (self._rights.warehouse,) = re.findall(r" warehouse = (\w+)", task.text)
        procedure = tasks.rights.find("PROCEDURE", f"{task.parent}.RUN_STAGE_TASK")
        assert procedure is not None
        self._rights.in_owners_procedure = " execute as caller " not in procedure.text
        self._read: set[str] = set()
        self._ledger: list[Any] | None = None

    def sql(self, statement: str, params: Sequence[Any] = ()) -> "_Statement":
        """A statement that runs when it is collected."""
        return _Statement(self, statement, list(params))

    def collect(self, statement: str, params: list[Any]) -> list[tuple[Any, ...]]:
        """Count the call, check the rights, and answer."""
        self.tasks.verbs[statement.split()[0]] += 1
        self.seconds += CALL_SEC
        if self.seconds > self._limit:
            raise Killed
        self._rights.run(statement)
        if statement == "begin transaction":
            self._ledger = list(self._backlog.ledger)
        if statement in ("commit", "rollback"):
            self.end_transaction(is_committed=statement == "commit")
        if found := re.match(r"insert into .* from raw_ext\.\"(\w+_FILES)\"", statement):
            self._read.add(next(each for each in self.tasks.streams if each.endswith(f".{found[1]}")))
        return self._backlog.answer(statement, params)

    def end_transaction(self, *, is_committed: bool) -> None:
        """Consume the streams that were read, or take the ledger's rows back."""
        for name in self._read if is_committed else ():
            self.tasks.streams[name].has_data = False
        if self._ledger is not None and not is_committed:
            self._backlog.ledger[:] = self._ledger
        self._read, self._ledger = set(), None


class _Statement:
    def __init__(self, session: _TaskSession, statement: str, params: list[Any]) -> None:
        self._session, self._statement, self._params = session, statement, params

    def collect(self) -> list[tuple[Any, ...]]:
        return self._session.collect(self._statement, self._params)


def procedure(edits: Mapping[str, str] = MappingProxyType({})) -> Callable[..., str]:
    """Return the procedure of snowflake/3_load_stages.sql, with parts of its text replaced."""
    (body,) = re.findall(r"\$\$\n(.*?)\$\$", SCRIPT.read_text(encoding="utf-8"), re.DOTALL)
    for old, new in edits.items():
        assert old in body, old
        body = body.replace(old, new)
    names: dict[str, Any] = {}
    exec(compile(body, str(SCRIPT), "exec"), names)
    run: Callable[..., str] = names["run"]
    return run


def _arguments(call: str) -> list[Any]:
    listed = re.sub(r"array_construct\((.*?)\)", r"[\1]", call)
    found: list[Any] = ast.literal_eval(f"[{listed}]")
    return found
