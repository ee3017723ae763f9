"""Send what began and what ended to ALERT_URLS. What cannot be sent is logged, and tried again at the next look."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from filelock import FileLock, Timeout

from adventure.core.ages import long_age
from adventure.core.clock import utc_now
from adventure.core.errors import AlreadyRunning
from adventure.core.log import get_logger
from adventure.core.private import make_folder
from adventure.core.settings import Settings
from adventure.monitoring.alerts.changes import Active, Changes, find_changes
from adventure.monitoring.alerts.channels import Channel, open_channels
from adventure.monitoring.alerts.memory import Memory, Message, read_memory, write_memory
from adventure.monitoring.health.causes import depth
from adventure.monitoring.health.problem import Problem

log = get_logger()

_TRY_FOR = timedelta(days=1)
_RETRY_FOR_SEC = 60.0


@dataclass(frozen=True)
class Sent:
    """The result of one look."""

    began: int = 0
    ended: int = 0
    unsent: int = 0
    """Messages that were not accepted."""


class Alerts:
    """The alerts of one pipeline. The task server keeps one; `adventure alert` opens one for a single look."""

    def __init__(self, settings: Settings, unjudged: Collection[str] = ()) -> None:
        """Open the channels.

        Args:
            unjudged: kinds of problems that the caller cannot see.

        Raises:
            ConfigError: one of ALERT_URLS cannot be used, or the extra is not installed.
        """
        self._path = settings.alerts_path
        self._channels = open_channels(settings)
        self._unjudged = frozenset(unjudged)
        self._unwritten: Memory | None = None
        """The memory, while its file cannot be written."""

    def send(self, problems: Sequence[Problem]) -> Sent:
        """Announce what began and what ended.

        Raises:
            AlreadyRunning: another command sends alerts for a minute already.
        """
        with self._lock():
            now = utc_now()
            before = self._unwritten or read_memory(self._path)
            changes = find_changes(before.active, problems, now, self._unjudged)
            new = [
                Message(channel.digest, level, title, body, now)
                for level, title, body in _texts(changes, now)
                for channel in self._channels
            ]
            unsent = tuple(each for each in (*before.unsent, *new) if now - each.at < _TRY_FOR)
            # Keep the messages before they are sent: a restart then sends what is missing.
            memory = Memory(changes.active, unsent)
            self._keep(memory)
            for channel in self._channels:
                for message in _accepted(channel, unsent):
                    memory = replace(memory, unsent=tuple(each for each in memory.unsent if each is not message))
                    self._keep(memory)
            known = {channel.digest for channel in self._channels}
            memory = replace(memory, unsent=tuple(each for each in memory.unsent if each.to in known))
            self._keep(memory)
        roots = sum(each.cause is None for each in changes.began)
        return Sent(roots, len(changes.ended), len(memory.unsent))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep `adventure alert` and the task server from sending the same at the same time."""
        try:
            make_folder(self._path.parent)
            lock = FileLock(self._path.with_suffix(".lock"), timeout=_RETRY_FOR_SEC)
            lock.acquire()
        except Timeout as error:
            raise AlreadyRunning("Another command has sent alerts for a minute", "Wait for it") from error
        except OSError:
            # A folder that cannot be written is worth an alert.
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def _keep(self, memory: Memory) -> None:
        try:
            write_memory(self._path, memory)
            self._unwritten = None
        except OSError as error:
            if self._unwritten is None:
                log.error(
                    f"alerts: {self._path} cannot be written: {error.strerror or error}. After a restart, alerts are"
                    " sent again"
                )
            self._unwritten = memory


def send_test(channels: Iterable[Channel]) -> list[tuple[str, str | None]]:
    """Send a test message to each channel. Return its name, and why it did not accept the message."""
    body = "This is a test of ALERT_URLS. Problems of the pipeline will arrive here."
    return [(channel.name, channel.send("Adventure: test", body, "test")) for channel in channels]


def _accepted(channel: Channel, messages: Iterable[Message]) -> Iterator[Message]:
    """Send the channel's messages in their order. Yield those that it accepts, up to the first that it does not."""
    for message in messages:
        if message.to == channel.digest:
            if reason := channel.send(message.title, message.body, message.level):
                log.error(f"alerts: {message.title!r} was not sent to {channel.name}: {reason}. Trying again later")
                return
            yield message


def _texts(changes: Changes, now: datetime) -> Iterator[tuple[str, str, str]]:
    """Yield level, title and body of each message: one for all that began, and one for all that ended."""
    if roots := [each for each in changes.began if each.cause is None]:
        level = "error" if any(each.severity == "error" for each in roots) else "warning"
        title = roots[0].sentence if len(roots) == 1 else f"{len(roots)} problems began"
        yield level, f"Adventure: {title}", "\n".join(line for each in changes.began for line in _began(each))
    if changes.ended:
        title = (
            f"Ended: {changes.ended[0].problem.sentence}"
            if len(changes.ended) == 1
            else f"{len(changes.ended)} problems ended"
        )
        yield "ended", f"Adventure: {title}", "\n".join(map(_ended, changes.ended))


def _began(problem: Problem) -> Iterator[str]:
    if problem.cause:
        yield f"{'  ' * depth(problem)}Therefore: {problem.sentence}."
        return
    yield f"{'Problem' if problem.severity == 'error' else 'Warning'}: {problem.sentence}."
    yield f"  Fix: {problem.remedy}. (docs/operations.md#{problem.kind})"


def _ended(each: Active) -> str:
    lasted = long_age(each.seen_at - each.began_at)
    return f"Ended after {lasted}, at {each.seen_at:%Y-%m-%d %H:%M} UTC: {each.problem.sentence}."
