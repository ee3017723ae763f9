"""The keys of changed rows of one stream, in pieces: the last piece in memory, the others in an unnamed file.

One transaction may change millions of rows, and the server sends it as a whole.
"""

import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

import orjson

from adventure.core.files import writing
from adventure.core.private import make_folder
from adventure.sources.postgres.log.pgoutput import Key

KEYS_A_PIECE = 20_000


class Keys:
    """Collects keys, and yields them again. A piece holds each key once.

    Args:
        folder: where to put the file if there is more than one piece.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._piece: dict[Key, None] = {}
        self._file: IO[bytes] | None = None
        self.has_null = False
        """Whether a key has a NULL, so that no query can look it up."""

    def __bool__(self) -> bool:
        """Return whether there is a key."""
        return bool(self._piece or self._file or self.has_null)

    def add(self, key: Key) -> None:
        """Add a key.

        Raises:
            StageUnwritable: the file cannot be written.
        """
        if None in key:
            self.has_null = True
            return
        self._piece[key] = None
        if len(self._piece) >= KEYS_A_PIECE:
            with writing(self._folder):
                if self._file is None:
                    make_folder(self._folder)
                    self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
                self._file.write(orjson.dumps(list(self._piece)) + b"\n")
            self._piece = {}

    def pieces(self) -> Iterator[Collection[Key]]:
        """Yield the keys, piece by piece, in the order in which they came."""
        if self._file:
            self._file.seek(0)
            for line in self._file:
                yield [tuple(key) for key in orjson.loads(line)]
        if self._piece:
            yield self._piece

    def close(self) -> None:
        """Remove the file."""
        if self._file:
            self._file.close()
            self._file = None
