"""Run `adventure demo` as a user does: one pass, a second run on the same data, and Ctrl-C while it serves."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "adventure"


def demo(data_dir: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Run the demo with other databases in the environment, which it must not touch."""
    environment = os.environ | {
        "DATA_DIR": str(data_dir),
        "COLUMNS": "180",
        "POSTGRES_HOST": "192.0.2.1",
        "MONGO_URI": "mongodb://192.0.2.1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "adventure", "demo", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.timeout(600)
def test_one_pass_ends_with_all_checks_passing(data_dir: Path) -> None:
    run = demo(data_dir, "--once", "--orders", "1000", "--seed", "3")
    output, _ = run.communicate(timeout=500)
    assert run.returncode == 0, output
    assert "does not hold" not in output
    counts = {
        match[1]: [int(number.replace(",", "")) for number in match[2].split()]
        for line in output.splitlines()
        if (match := re.fullmatch(r"\s*(orders|order_details|chat_logs|reviews)((?:\s+[\d,]+){5})\s*", line))
    }
    assert set(counts) == {"orders", "order_details", "chat_logs", "reviews"}
    for source, staged, raw, model, left in counts.values():
        assert source == staged == raw == model > 0
        assert left == 0
    assert counts["orders"][0] == 1000


@pytest.mark.timeout(600)
def test_ctrl_c_stops_every_process_and_leaves_the_data(data_dir: Path) -> None:
    run = demo(data_dir, "--orders", "1000")
    children: list[psutil.Process] = []
    try:
        assert run.stdout is not None
        url = ""
        for line in run.stdout:
            if found := re.search(r"The dashboard is at (http://[\d.:]+)", line):
                url = found[1]
                break
        assert url
        answer_within(url, 60)
        children = psutil.Process(run.pid).children(recursive=True)
        assert len(children) >= 7, "two servers and five commands"
        run.send_signal(signal.SIGINT)
        output = run.stdout.read()
        run.wait(timeout=60)
    finally:
        if run.poll() is None:
            run.kill()
    assert run.returncode == 0, output
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    assert (data_dir / "warehouse.duckdb").is_file()


def answer_within(url: str, seconds: float) -> None:
    """Wait until the dashboard answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                assert response.status == 200
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
