"""How a clone installs a lock: by uv, and by pip where uv cannot. Both compare the hashes."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCK = "requirements/demo.lock"


def install(folder: Path, *, uv_ends_with: int) -> list[str]:
    """Install with a pip and a uv that only note how they are called, and return the calls."""
    folder.joinpath(".venv", "bin").mkdir(parents=True)
    for name, code in (("python", 0), ("uv", uv_ends_with)):
        command = folder / ".venv" / "bin" / name
        command.write_text(f'#!/bin/sh\necho "{name} $*" >> calls\nexit {code}\n')
        command.chmod(0o755)
    environment = os.environ | {"PIP_INDEX_URL": "https://packages.example.com/simple"}
    subprocess.run([ROOT / "tools" / "install", LOCK], cwd=folder, env=environment, check=True, timeout=30)
    return (folder / "calls").read_text().splitlines()


@pytest.mark.parametrize(("code", "installer"), [(0, "uv"), (1, "python")])
def test_the_lock_is_installed_with_its_hashes(tmp_path: Path, code: int, installer: str) -> None:
    calls = install(tmp_path, uv_ends_with=code)
    (last,) = (call for call in reversed(calls) if LOCK in call and call.startswith(installer))
    assert "--require-hashes" in last
    assert [call for call in calls if call.startswith("python") and LOCK in call] == ([last] if code else [])
    assert calls[-1].startswith(installer)
    assert calls[-1].endswith("--editable .")
    assert "--require-hashes" in next(call for call in calls if "requirements/uv.lock" in call)


def test_uv_asks_the_index_that_pip_asks(tmp_path: Path) -> None:
    uv = tmp_path / ".venv" / "bin" / "uv"
    install(tmp_path, uv_ends_with=0)
    uv.write_text('#!/bin/sh\necho "$UV_DEFAULT_INDEX" > index\n')
    environment = os.environ | {"PIP_INDEX_URL": "https://packages.example.com/simple"}
    environment.pop("UV_DEFAULT_INDEX", None)
    subprocess.run([ROOT / "tools" / "install", LOCK], cwd=tmp_path, env=environment, check=True, timeout=30)
    assert (tmp_path / "index").read_text() == "https://packages.example.com/simple\n"


@pytest.mark.parametrize(
    ("compiler", "code", "said"),
    [("sh", 0, ""), ("sh", 1, "The decoder cannot be built"), ("no-such-cc", 0, "No C compiler (no-such-cc)")],
)
def test_the_decoder_is_installed_where_it_can_be_compiled(tmp_path: Path, compiler: str, code: int, said: str) -> None:
    """Without it, everything works: it never fails."""
    tmp_path.joinpath(".venv", "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && echo {compiler} && exit\necho "$*" >> calls\nexit {code}\n')
    python.chmod(0o755)
    command: list[str | Path] = [ROOT / "tools" / "decoder", "install"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.startswith(said)
    assert bool(done.stdout) == bool(said)
    assert (tmp_path / "calls").exists() == (compiler == "sh")
