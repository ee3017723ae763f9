"""A stage in a local folder: `<root>/<stage>/<window>/<file>`.

A file is written under `<root>/.tmp/<stage>/`, which is never listed, synced to disk, and renamed into its window. So
it is complete or absent, even after a power failure.
"""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from adventure.core.errors import StageDamaged, StageUnwritable
from adventure.core.faults import Point, reached
from adventure.core.manifest import FILE_NAME, MANIFEST, Window, read_manifest
from adventure.core.private import close_to_others, make_folder, only_owner
from adventure.core.stage import StageEntry

_REMEDIES = {
    errno.ENOSPC: "Free space on its disk",
    errno.EDQUOT: "Free space under the quota",
    errno.EACCES: "Grant this user write permission, or set DATA_DIR to another folder",
    errno.EPERM: "Grant this user write permission, or set DATA_DIR to another folder",
    errno.EROFS: "Mount it writable, or set DATA_DIR to another folder",
}

_IDENTITY = ".id"
"""No stage has this name."""


class FolderStage:
    """See `Stage`. Each stage is a folder under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, window: Window, name: str) -> Path:
        """Return the path of a window's file."""
        return self.root / window.stage / window.id / name

    def was_removed(self, window: Window) -> bool:
        """Return whether the window's `window.json` was deleted. One that cannot be read is not."""
        try:
            return not self.path(window, MANIFEST).exists()
        except OSError:
            return False

    def identity(self, *, create: bool = False) -> str:
        """Return the content of the file `.id`, which is unique to this folder; see `Stage`."""
        path = self.root / _IDENTITY
        with _writing(path):
            if create and not path.exists():
                _make_folder(self.root)
                with self._temporary(_IDENTITY, secrets.token_hex(8)) as temporary:
                    _write(temporary, f"folder {secrets.token_hex(8)}".encode())
                    # Link the file, because two processors may start at the same time: the first one's identity stays.
                    with suppress(FileExistsError):
                        path.hardlink_to(temporary)
                    _sync(self.root)
            return path.read_text(encoding="utf-8") if path.exists() else ""

    def check_writable(self, stage: str) -> None:
        """Raise StageUnwritable if no file can be put into the stage. No file stays behind."""
        with _writing(self.root / stage):
            _make_folder(self.root / stage)
            # A processor that was stopped may have made them without a sync.
            _sync(self.root.parent)
            _sync(self.root)
            close_to_others(self.root)
            with self._temporary(stage, "probe") as probe:
                _write(probe, b"?")

    def put(self, stage: str, window_id: str, file: Path) -> None:
        """Put a finished local file into a window under its own name. On return it is complete and synced to disk.

        On the same file system this is a hard link and not a copy, so the caller must not write to the file again.

        Raises:
            StageUnwritable: no permission or no space. The window did not change.
        """
        target = self.root / stage / window_id / file.name
        with _writing(target), self._temporary(stage, f"{window_id}.{file.name}") as temporary:
            _link_or_copy(file, temporary)
            _sync(temporary)
            _move_into_place(temporary, target)

    def commit(self, window: Window) -> None:
        """Put the window's `window.json`. From then on the window exists.

        Raises:
            StageUnwritable: no permission or no space. The window does not exist, or is not durable yet.
        """
        target = self.path(window, MANIFEST)
        with _writing(target), self._temporary(window.stage, f"{window.id}.{MANIFEST}") as temporary:
            _write(temporary, window.to_json())
            _move_into_place(temporary, target)

    def announce(self, stage: str) -> bool:
        """Return True: each load lists the folder, so it sees a window as soon as `window.json` is there."""
        return True

    def secure(self, window: Window) -> None:
        """Sync the window's folder; its files were synced before its `window.json` was put.

        Raises:
            StageUnwritable: the folder cannot be synced.
        """
        folder = self.root / window.stage / window.id
        # A cleanup may have removed the window, because it is loaded.
        with _writing(folder), suppress(FileNotFoundError):
            _sync(folder)

    def windows(self, stage: str) -> list[Window]:
        """Return the windows that exist, oldest first, except those whose `window.json` is damaged."""
        return [found for found in self._read_all(stage) if isinstance(found, Window)]

    def window_ids(self, stage: str) -> set[str]:
        """Return the ids of the windows that have a `window.json`. It opens no file."""
        folder = self.root / stage
        return {window_id for window_id in _window_ids(folder) if (folder / window_id / MANIFEST).exists()}

    def damaged(self, stage: str) -> list[StageDamaged]:
        """Return one error for each `window.json` that cannot be used."""
        return [found for found in self._read_all(stage) if isinstance(found, StageDamaged)]

    def discard_unfinished(self, stage: str) -> int:
        """Remove the processor's files in windows without `window.json`, and return the number of windows.

        Files that the processor does not write stay. Only the processor that holds the stream's lock may call this.
        """
        discarded = 0
        with _writing(self.root / stage):
            for window_id in _window_ids(self.root / stage):
                folder = self.root / stage / window_id
                # A cleanup may remove the same empty folder at the same time.
                with suppress(FileNotFoundError):
                    if not (folder / MANIFEST).exists():
                        files = [path for path in folder.iterdir() if FILE_NAME.fullmatch(path.name)]
                        for path in files:
                            path.unlink()
                        discarded += bool(files)
                        _remove_if_empty(folder)
            shutil.rmtree(self.root / ".tmp" / stage, ignore_errors=True)
        return discarded

    def entries(self, stage: str, *, md5: bool = False) -> list[StageEntry]:
        """Return every file, including `window.json`, sorted by path.

        Raises:
            StageDamaged: the stage cannot be listed, or a file not be read.
        """
        entries = []
        try:
            for path in _files(self.root / stage):
                with suppress(FileNotFoundError):
                    facts = path.stat()
                    modified = datetime.fromtimestamp(facts.st_mtime, UTC).replace(tzinfo=None)
                    digest = _md5(path) if md5 else ""
                    name = "/".join(path.parts[len(self.root.parts) :])
                    entries.append(StageEntry(name, facts.st_size, modified, digest))
        except OSError as error:
            problem = f"The stage {self.root / stage} cannot be listed: {error.strerror or error}"
            raise StageDamaged(problem, "Check that folder and its permissions") from error
        return sorted(entries, key=lambda entry: entry.path)

    def remove(self, window: Window) -> int:
        """Remove exactly the window's files, then its `window.json`, and return the number of files removed.

        Files that the window does not list stay. A missing file is no error. If the process is killed, the next call
        removes the rest.
        """
        removed = 0
        with _writing(self.root / window.stage / window.id):
            for name in (*(file.name for file in window.all_files), MANIFEST):
                with suppress(FileNotFoundError):
                    self.path(window, name).unlink()
                    removed += 1
                    reached(Point.FILE_REMOVED, window.stream)
            _remove_if_empty(self.path(window, MANIFEST).parent)
        return removed

    def discard(self, stage: str, window_id: str) -> int:
        """Remove one window, even if its `window.json` is damaged, and return the number of files; see `Stage`."""
        folder, removed = self.root / stage / window_id, 0
        with _writing(folder):
            # Remove window.json last: if the process is killed, the next call removes the rest.
            ours = [path for path in folder.iterdir() if FILE_NAME.fullmatch(path.name)]
            for path in (*ours, folder / MANIFEST):
                with suppress(FileNotFoundError):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                    removed += 1
            _remove_if_empty(folder)
        return removed

    def _read_all(self, stage: str) -> Iterator[Window | StageDamaged]:
        folder = self.root / stage
        try:
            window_ids = _window_ids(folder)
        except OSError as error:
            yield StageDamaged(f"The stage {folder} cannot be listed: {error.strerror or error}")
            return
        for window_id in window_ids:
            path = folder.joinpath(window_id, MANIFEST)
            try:
                yield read_manifest(path.read_bytes(), path, stage, window_id)
            except FileNotFoundError:
                continue
            except OSError as error:
                yield StageDamaged(f"{path} cannot be read: {error.strerror or error}", window_id=window_id)
            except StageDamaged as error:
                yield error

    @contextmanager
    def _temporary(self, stage: str, name: str) -> Iterator[Path]:
        """Yield a free path on the same file system that is never listed, and remove the file there at the end."""
        path = self.root / ".tmp" / stage / name
        make_folder(path.parent)
        path.unlink(missing_ok=True)
        try:
            yield path
        finally:
            # Also after success: renaming a link of a file onto another link of the same file does nothing.
            path.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder. A cleanup may remove folders meanwhile."""
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.is_dir():
                yield from _files(path)
            else:
                yield path


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _window_ids(stage: Path) -> list[str]:
    """Return the names of the windows' folders, oldest first: they begin with the window's end."""
    try:
        with os.scandir(stage) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except FileNotFoundError:
        return []


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            raise


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn an error of the file system into a StageUnwritable that names `path`."""
    try:
        yield
    except OSError as error:
        raise StageUnwritable(
            f"The stage cannot be written at {path}: {error.strerror or error}",
            _REMEDIES.get(error.errno or 0, "Check that folder, or set DATA_DIR to another one"),
        ) from error


def _link_or_copy(source: Path, target: Path) -> None:
    """Hard-link the file where the file system allows it; copy it otherwise."""
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        shutil.copyfile(source, target)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _move_into_place(temporary: Path, target: Path) -> None:
    _make_folder(target.parent)
    reached(Point.STAGING, temporary.parent.name)
    temporary.replace(target)
    _sync(target.parent)


def _make_folder(path: Path) -> None:
    """Create the folder and its parents, each synced to disk: a synced file is lost if its folder is lost."""
    only_owner()
    if not path.is_dir():
        _make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync(path.parent)


def _sync(path: Path) -> None:
    """Sync a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
