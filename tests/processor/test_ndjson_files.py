"""Compressed files hold all lines in their order, whatever their length; write errors are raised."""

import errno
import gzip
import os
from pathlib import Path
from typing import Any

import pytest
from isal import igzip

from adventure.core import files
from adventure.core.files import NdjsonFile, NdjsonParts


@pytest.mark.parametrize(("count", "length"), [(1, 0), (3, 10), (2500, 10), (700, 2000), (3, 300_000), (1, 5_000_000)])
def test_lines_come_back_as_they_were_written(tmp_path: Path, count: int, length: int) -> None:
    lines = [b"%d:" % number + b"x" * length for number in range(count)]
    with NdjsonParts(tmp_path) as parts:
        for line in lines:
            parts.write(line)
    (file,) = parts.close()
    assert gzip.decompress(file.path.read_bytes()).splitlines() == lines
    assert file.rows == count


def test_a_large_window_is_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BYTES_A_FILE", 1)
    lines = [os.urandom(200).hex().encode() for _ in range(3500)]
    with NdjsonParts(tmp_path) as parts:
        for line in lines:
            parts.write(line)
    written = parts.close()
    assert len(written) > 1
    assert sum(file.rows for file in written) == len(lines)
    assert b"".join(gzip.decompress(file.path.read_bytes()) for file in written).splitlines() == lines


def test_without_a_line_there_is_no_file(tmp_path: Path) -> None:
    assert NdjsonFile(tmp_path / "none.ndjson.gz").close() is None
    assert list(tmp_path.iterdir()) == []


def test_a_write_error_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error occurs in another thread, and is raised by close() at the latest."""

    def full(*_arguments: Any, **_options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(igzip, "IGzipFile", full)
    file = NdjsonFile(tmp_path / "part.ndjson.gz")
    file.write(b"x" * 300_000)
    with pytest.raises(OSError, match="No space left"):
        file.close()
