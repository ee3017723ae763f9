"""A disk in memory, with what the operating system has not written yet, and a `Path` on it.

A power cut keeps what was synced: a file's content by a sync of the file, a folder's entries by a sync of the folder.
Each other entry and content may have been written or not.
"""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any

from tests.simulation.process import Process


class File:
    """A file's content, and the content that is certainly on disk; None for a file that was never synced."""

    __slots__ = ("content", "durable")

    def __init__(self) -> None:
        self.content = b""
        self.durable: bytes | None = None

    def copy(self) -> "File":
        """Return a copy, all of which is on disk."""
        twin = File()
        twin.content = twin.durable = self.content
        return twin

    def cut_power(self, random: Random) -> None:
        """Keep what was synced, or less, or more."""
        if self.durable != self.content:
            self.content = random.choice([self.durable or b"", self.content[: len(self.content) // 2], self.content])
        self.durable = self.content


class Folder:
    """A folder's entries, and the entries that are certainly on disk."""

    __slots__ = ("durable", "entries")

    def __init__(self) -> None:
        self.entries: dict[str, File | Folder] = {}
        self.durable: dict[str, File | Folder] = {}

    def copy(self) -> "Folder":
        """Return a copy, all of which is on disk."""
        twin = Folder()
        twin.entries = {name: node.copy() for name, node in self.entries.items()}
        twin.durable = dict(twin.entries)
        return twin

    def cut_power(self, random: Random) -> None:
        """Keep the entries that were synced; of the others, keep or undo each."""
        for name in sorted(self.entries.keys() | self.durable.keys()):
            now, synced = self.entries.get(name), self.durable.get(name)
            if now is not synced and random.random() < 0.5:
                if synced is None:
                    del self.entries[name]
                else:
                    self.entries[name] = synced
        self.durable = dict(self.entries)
        for node in self.entries.values():
            node.cut_power(random)


class _Handle(io.BytesIO):
    """An open file. What was written is in the file once it is flushed."""

    def __init__(self, file: File, process: Process, *, writes: bool) -> None:
        super().__init__(b"" if writes else file.content)
        self._target, self._process, self._writes = file, process, writes

    def flush(self) -> None:
        if self._writes:
            self._process.effect(full)
            self._target.content = self.getvalue()

    def close(self) -> None:
        if self._writes and not self.closed and self._process.alive:
            self._target.content = self.getvalue()
        super().close()

    def fileno(self) -> Any:
        return self._target, self._process


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


full = partial(_error, errno.ENOSPC)
"""Returns the error of a write that fails."""
unreadable = partial(_error, errno.EIO)
"""Returns the error of a read that fails."""


class SimulatedPath:
    """As much of `pathlib.Path` as the stage and the cycle use."""

    __slots__ = ("_root", "parts", "process")

    def __init__(self, root: Folder, process: Process, *parts: str) -> None:
        self._root, self.process, self.parts = root, process, parts

    def __truediv__(self, name: str) -> "SimulatedPath":
        return SimulatedPath(self._root, self.process, *self.parts, name)

    def joinpath(self, *names: str) -> "SimulatedPath":
        return SimulatedPath(self._root, self.process, *self.parts, *names)

    def __str__(self) -> str:
        return "/" + "/".join(self.parts)

    def __lt__(self, other: "SimulatedPath") -> bool:
        return self.parts < other.parts

    @property
    def name(self) -> str:
        return self.parts[-1] if self.parts else ""

    @property
    def parent(self) -> "SimulatedPath":
        return SimulatedPath(self._root, self.process, *self.parts[:-1])

    def node(self) -> "File | Folder | None":
        """Return what is there; None if nothing is."""
        found: File | Folder | None = self._root
        for part in self.parts:
            if not isinstance(found, Folder):
                return None
            found = found.entries.get(part)
        return found

    def folder(self) -> Folder:
        """Return the folder that is there."""
        found = self.node()
        if found is None:
            raise _error(errno.ENOENT)
        if isinstance(found, File):
            raise _error(errno.ENOTDIR)
        return found

    def file(self) -> File:
        """Return the file that is there."""
        found = self.node()
        if found is None:
            raise _error(errno.ENOENT)
        if isinstance(found, Folder):
            raise _error(errno.EISDIR)
        return found

    def exists(self) -> bool:
        self.process.effect(unreadable)
        return self.node() is not None

    def is_dir(self) -> bool:
        return isinstance(self.node(), Folder)

    def iterdir(self) -> "Iterator[SimulatedPath]":
        self.process.effect(unreadable)
        for name in list(self.folder().entries):
            yield self / name

    def stat(self) -> Any:
        found = self.node()
        if found is None:
            raise _error(errno.ENOENT)
        return SimpleNamespace(st_size=len(found.content) if isinstance(found, File) else 0, st_mode=0o700, st_mtime=0)

    @contextmanager
    def open(self, mode: str) -> Iterator[_Handle]:
        self.process.effect(full if mode == "wb" else unreadable)
        if mode == "wb":
            # Opening a file for writing empties it.
            folder, file = self.parent.folder(), self.node()
            if not isinstance(file, File):
                file = folder.entries[self.name] = File()
            file.content = b""
            handle = _Handle(file, self.process, writes=True)
        else:
            handle = _Handle(self.file(), self.process, writes=False)
        with handle:
            yield handle

    def read_bytes(self) -> bytes:
        self.process.effect(unreadable)
        return self.file().content

    def read_text(self, encoding: str) -> str:
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        self.process.effect(full)
        folder = self.parent.folder()
        folder.entries[self.name] = file = File()
        file.content = content

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        if self._is_made(exist_ok):
            return
        self.process.effect(full)
        if parents and self.parts:
            self.parent.mkdir(parents=True, exist_ok=True)
        # Another process may have made it meanwhile.
        if not self._is_made(exist_ok):
            self.parent.folder().entries[self.name] = Folder()

    def _is_made(self, exist_ok: bool) -> bool:
        found = self.node()
        if found is not None and not (exist_ok and isinstance(found, Folder)):
            raise _error(errno.EEXIST)
        return found is not None

    def unlink(self, *, missing_ok: bool = False) -> None:
        if missing_ok and self.node() is None:
            return
        self.process.effect(full)
        self.file()
        del self.parent.folder().entries[self.name]

    def rmdir(self) -> None:
        self.process.effect(full)
        if self.folder().entries:
            raise _error(errno.ENOTEMPTY)
        del self.parent.folder().entries[self.name]

    def replace(self, target: "SimulatedPath") -> None:
        self.process.effect(full)
        file, entries = self.file(), target.parent.folder().entries
        if entries.get(target.name) is not file:
            entries[target.name] = file
            del self.parent.folder().entries[self.name]

    def hardlink_to(self, target: "SimulatedPath") -> None:
        self.process.effect(full)
        entries = self.parent.folder().entries
        if self.name in entries:
            raise _error(errno.EEXIST)
        entries[self.name] = target.file()


class SimulatedOs:
    """As much of the module `os` as the stage uses."""

    O_RDONLY = os.O_RDONLY

    @staticmethod
    def open(path: SimulatedPath, _: int) -> Any:
        node = path.node()
        if node is None:
            raise _error(errno.ENOENT)
        return node, path.process

    @staticmethod
    @contextmanager
    def scandir(path: SimulatedPath) -> Iterator[list[Any]]:
        yield [SimpleNamespace(name=each.name, is_dir=each.is_dir) for each in path.iterdir()]

    @staticmethod
    def close(_: Any) -> None:
        pass

    @staticmethod
    def fsync(opened: Any) -> None:
        node, process = opened
        process.effect(full)
        if isinstance(node, File):
            node.durable = node.content
        else:
            node.durable = dict(node.entries)


class SimulatedShutil:
    """As much of the module `shutil` as the stage and the cycle use."""

    @staticmethod
    def rmtree(path: SimulatedPath, *, ignore_errors: bool = False) -> None:
        if path.node() is not None:
            try:
                path.process.effect(full)
            except OSError:
                if ignore_errors:
                    return
                raise
            # Another process may have removed it meanwhile.
            if path.node() is not None:
                del path.parent.folder().entries[path.name]
