"""A stage in Snowflake: `@raw_ext.<stage>/<window>/<file>` on an internal stage.

PUT, LIST, GET and REMOVE need no warehouse; they are billed as cloud services only. Refreshing the stage's directory
starts the load, which needs one. The refresh is therefore held back while CREDIT_BUDGET is reached; staging continues.

A file is complete or absent, because PUT shows it only when it is complete. A window's path ends in '/', because
Snowflake reads paths as prefixes.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from adventure.core.errors import StageDamaged, StageUnwritable, WarehouseError, WarehouseUnavailable
from adventure.core.log import get_logger
from adventure.core.manifest import FILE_NAME, MANIFEST, Window, read_manifest
from adventure.core.settings import Settings
from adventure.core.stage import StageEntry
from adventure.destinations.snowflake.budget import Budget
from adventure.destinations.snowflake.credentials import SnowflakeLogin
from adventure.destinations.snowflake.dialect import SNOWFLAKE
from adventure.destinations.snowflake.session import SnowflakeSession

log = get_logger()

_ATTEMPTS = 4
_PARALLEL = 4
"""Threads of one PUT; Snowflake's default."""


class SnowflakeStage:
    """See `Stage`. The first call opens the one session; it is reopened after it was lost."""

    def __init__(self, settings: Settings, login: SnowflakeLogin | None = None) -> None:
        self._identity = f"Snowflake {settings.snowflake_account}, database {settings.snowflake_database}".lower()
        self._session = SnowflakeSession(settings, login)
        self._budget = Budget(settings, self._session.execute, self._session.login.role)
        self._manifests: dict[str, Window] = {}
        """Manifests by path; a window.json never changes."""

    def identity(self, *, create: bool = False) -> str:
        """Return the account and the database; see `Stage`."""
        return self._identity

    def check_writable(self, stage: str) -> None:
        """Raise StageUnwritable if no file can be put into the stage. No file stays behind."""
        self._put_probe(stage)
        self._remove(stage, "probe", "probe")

    def put(self, stage: str, window_id: str, file: Path) -> None:
        """Put a finished local file into a window under its own name. On return it is complete and durable.

        A repeated call replaces the file of the earlier one.

        Raises:
            StageUnwritable: Snowflake did not take the file. The window does not exist.
        """
        rows = self._execute(
            f"put {_file_url(str(file.resolve()))} {_at(stage, window_id)} auto_compress = false overwrite = true"
            f" parallel = {_PARALLEL}",
            f"{stage}:{window_id}",
        )
        _, target, _, target_size, _, _, status, message = rows[0][:8]
        if status != "UPLOADED" or target != file.name or target_size != file.stat().st_size:
            raise StageUnwritable(
                f"Snowflake did not take {stage}/{window_id}/{file.name}: {status}, {target_size} bytes. {message}",
                "The next cycle stages it again",
            )

    def commit(self, window: Window) -> None:
        """Put the window's `window.json`. From then on the window exists.

        Raises:
            StageUnwritable: Snowflake did not take the file. The window does not exist.
        """
        with tempfile.TemporaryDirectory() as folder:
            manifest = Path(folder) / MANIFEST
            manifest.write_bytes(window.to_json())
            self.put(window.stage, window.id, manifest)

    def announce(self, stage: str) -> bool:
        """Refresh the stage's directory, which starts loads; return False while CREDIT_BUDGET is reached.

        A refresh is a billed call and covers the whole stage, so it runs once a cycle and not once a window.

        Raises:
            StageUnwritable: Snowflake refused, failed, or did not answer.
        """
        with _unwritable():
            is_held_back = self._budget.is_reached()
        if is_held_back:
            log.warning(f"{stage}: {self._budget.sentence()}", stage=stage)
        else:
            self._refresh(stage)
        return not is_held_back

    def secure(self, window: Window) -> None:
        """Do nothing: a file that PUT has put is durable."""

    def _refresh(self, stage: str) -> None:
        """Make the stage's directory show every file; that starts loads."""
        self._execute(f"alter stage {_name(stage)} refresh", stage)

    def wake(self, stage: str) -> None:
        """Start the load even if the stage's directory shows every window already, as after its stream was replaced."""
        self._put_probe(stage)
        self._refresh(stage)
        self._remove(stage, "probe", "probe")

    def windows(self, stage: str) -> list[Window]:
        """Return the windows that exist, oldest first, except those whose `window.json` is damaged."""
        return [found for found in self._read_all(stage) if isinstance(found, Window)]

    def window_ids(self, stage: str) -> set[str]:
        """Return the ids of the windows that have a `window.json`."""
        return {window_id for window_id, names in self._files(stage).items() if MANIFEST in names}

    def damaged(self, stage: str) -> list[StageDamaged]:
        """Return one error for each `window.json` that cannot be used."""
        return [found for found in self._read_all(stage) if isinstance(found, StageDamaged)]

    def discard_unfinished(self, stage: str) -> int:
        """Remove the processor's files in windows without `window.json`, and return the number of windows."""
        unfinished = self._files(stage)
        discarded = 0
        for window_id, names in unfinished.items():
            ours = [name for name in names if FILE_NAME.fullmatch(name)]
            if MANIFEST not in names and ours:
                discarded += 1
                for name in ours:
                    self._remove(stage, window_id, name)
        return discarded

    def entries(self, stage: str, *, md5: bool = False) -> list[StageEntry]:
        """Return every file, including `window.json`, sorted by path, always with its MD5."""
        found = []
        for name, size, digest, modified in self._list(stage):
            moment = parsedate_to_datetime(modified).astimezone(UTC).replace(tzinfo=None)
            found.append(StageEntry(f"{stage}/{name.partition('/')[2]}", int(size), moment, digest or ""))
        return sorted(found, key=lambda entry: entry.path)

    def remove(self, window: Window) -> int:
        """Remove exactly the window's files, then its `window.json`, and return the number of files removed."""
        there = self._files(window.stage).get(window.id, set())
        names = [name for name in (*(file.name for file in window.all_files), MANIFEST) if name in there]
        for name in names:
            self._remove(window.stage, window.id, name)
        return len(names)

    def discard(self, stage: str, window_id: str) -> int:
        """Remove one window, even if its `window.json` is damaged, and return the number of files; see `Stage`."""
        there = self._files(stage).get(window_id, set())
        # Remove window.json last: if the process is killed, the next call removes the rest.
        names = [name for name in sorted(there) if FILE_NAME.fullmatch(name)] + [MANIFEST] * (MANIFEST in there)
        for name in names:
            self._remove(stage, window_id, name)
        return len(names)

    def fetch(self, window: Window, folder: Path) -> Path:
        """Copy the window's files into a new folder below `folder`, and return it. Files removed meanwhile are skipped.

        Raises:
            StageUnwritable: Snowflake refused, failed, or did not answer.
        """
        target = folder / window.id
        target.mkdir()
        for file in window.all_files:
            try:
                self._get(window.stage, window.id, file.name, target)
            except StageUnwritable:
                if file.name in self._files(window.stage).get(window.id, set()):
                    raise
        return target

    def _put_probe(self, stage: str) -> None:
        """Put a file that belongs to no window, so that no load reads it."""
        with tempfile.TemporaryDirectory() as folder:
            probe = Path(folder) / "probe"
            probe.write_bytes(b"?")
            self.put(stage, "probe", probe)

    def _get(self, stage: str, window_id: str, name: str, folder: Path) -> None:
        self._execute(f"get {_at(stage, window_id, name)} {_file_url(f'{folder}/')}", f"{stage}:{window_id}")

    def _remove(self, stage: str, window_id: str, name: str) -> None:
        """Remove exactly this file. A path alone is a prefix, and would also remove files whose names begin the same.

        The pattern matches the name as well as the whole path, because the manual does not say which is compared.
        """
        pattern = f"(.*/)?{name.replace('.', '[.]')}"
        self._execute(f"remove {_at(stage, window_id)} pattern = '{pattern}'", f"{stage}:{window_id}")

    def _read_all(self, stage: str) -> Iterator[Window | StageDamaged]:
        for window_id, names in sorted(self._files(stage).items()):
            if MANIFEST in names:
                try:
                    yield self._read(stage, window_id)
                except StageDamaged as error:
                    yield error

    def _read(self, stage: str, window_id: str) -> Window:
        path = f"{stage}/{window_id}/{MANIFEST}"
        if path not in self._manifests:
            with tempfile.TemporaryDirectory() as folder:
                self._get(stage, window_id, MANIFEST, Path(folder))
                content = (Path(folder) / MANIFEST).read_bytes()
            self._manifests[path] = read_manifest(content, path, stage, window_id)
        return self._manifests[path]

    def _files(self, stage: str) -> dict[str, set[str]]:
        """Return the names of the files by window."""
        found: dict[str, set[str]] = {}
        for name, *_ in self._list(stage):
            _, window_id, file = name.split("/", 2) if name.count("/") > 1 else ("", "", name)
            found.setdefault(window_id, set()).add(file)
        found.pop("", None)
        return found

    def _list(self, stage: str) -> Sequence[tuple[Any, ...]]:
        return self._execute(f"list @{_name(stage)}", stage)

    def _execute(self, statement: str, tag: str) -> Sequence[tuple[Any, ...]]:
        """Run a statement, and retry it while Snowflake does not answer: every statement here may run twice.

        Raises:
            StageUnwritable: Snowflake refused, failed, or did not answer.
        """
        attempts = Retrying(
            retry=retry_if_exception_type(WarehouseUnavailable),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential_jitter(multiplier=0.5, max=10),
            reraise=True,
        )
        with _unwritable():
            return attempts(self._session.execute, statement, (), f"adventure:{tag}")


@contextmanager
def _unwritable() -> Iterator[None]:
    try:
        yield
    except WarehouseError as error:
        raise StageUnwritable(f"The stage cannot be used: {error.problem}", error.remedy) from error


def _file_url(path: str) -> str:
    """Return a local path as PUT and GET take it, in which quotes and backslashes are escaped by a backslash."""
    return "'file://" + path.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _name(stage: str) -> str:
    return f"raw_ext.{SNOWFLAKE.column(stage)}"


def _at(stage: str, window_id: str, name: str = "") -> str:
    return f"@{_name(stage)}/{window_id}/{name}"
