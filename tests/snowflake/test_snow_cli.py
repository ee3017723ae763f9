"""Snowflake's own command line bundles the app from snowflake.yml: the same files that `5_dashboard.sql` uploads.

`make snow-cli` installs the command line into an environment of its own and runs this; it is skipped without it.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from adventure.destinations.snowflake.scripts import split

ROOT = Path(__file__).parents[2]
SNOW = os.environ.get("SNOW_CLI") or shutil.which("snow")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SNOW, reason="Snowflake's command line is not installed")]


def test_the_bundle_has_the_files_that_deploy_uploads(tmp_path: Path) -> None:
    for name in ("snowflake", "adventure"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("snowflake.yml", "streamlit_app.py"):
        shutil.copy(ROOT / name, tmp_path)
    command = [str(SNOW), "ws", "bundle", "--entity-id", "dashboard"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    bundle = tmp_path / "output" / "bundle" / "streamlit" / "dashboard"
    bundled = {path.relative_to(bundle).as_posix(): path for path in bundle.rglob("*") if path.is_file()}

    uploaded = {}
    for statement in split((ROOT / "snowflake" / "5_dashboard.sql").read_text(encoding="utf-8")):
        if found := re.match(r"put 'file://(.*)' @app_files/?(\S*) ", statement):
            for path in ROOT.glob(found[1]):
                uploaded[(Path(found[2]) / path.name).as_posix()] = path
    assert set(bundled) == set(uploaded)
    assert all(path.read_bytes() == uploaded[name].read_bytes() for name, path in bundled.items())
