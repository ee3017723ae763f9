"""A command's temporary files are removed at its end, and by the next command if it was killed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adventure.core.scratch import scratch_folder

HOLD = """
import sys, time
from pathlib import Path
from adventure.core.scratch import scratch_folder

with scratch_folder(Path(sys.argv[1]), "reconcile") as folder:
    (folder / "file").write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""


def test_nothing_is_left_at_the_end_or_after_an_error(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "new", "reconcile") as folder:
        (folder / "file").write_text("x")
        assert folder.parent == tmp_path / "new"
    with pytest.raises(ZeroDivisionError), scratch_folder(tmp_path / "new", "reconcile"):
        _ = 1 / 0
    assert list((tmp_path / "new").iterdir()) == []


def test_what_a_killed_command_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    # An earlier version made no locks.
    (tmp_path / "reconcile-old").mkdir()
    (tmp_path / "orders").mkdir()
    held = [
        subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for each in held:
            assert each.stdout
            assert each.stdout.readline() == "ready\n"
        assert len(list(tmp_path.glob("reconcile-*/file"))) == 2
        held[0].send_signal(signal.SIGKILL)
        held[0].wait()
        with scratch_folder(tmp_path, "reconcile"):
            assert len(list(tmp_path.glob("reconcile-*/file"))) == 1
        assert (tmp_path / "orders").is_dir()
        assert not (tmp_path / "reconcile-old").exists()
    finally:
        for each in held:
            each.kill()
            each.wait()
            assert each.stdout
            each.stdout.close()
