"""Snowflake's own command line reads our files as we do.

It bundles the app from snowflake.yml with the files that `5_dashboard.sql` uploads, and splits each script for
`snow sql -f` into the statements that `deploy` runs.

`make snow-cli` installs the command line into an environment of its own and runs this; it is skipped without it.
"""

import json
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


READ = """
import json, sys
from snowflake.cli._plugins.sql.snowsql_templating import transpile_snowsql_templates
from snowflake.cli._plugins.sql.statement_reader import compile_statements, files_reader
from snowflake.cli.api.secure_path import SecurePath

found = {}
for path in sys.argv[1:]:
    errors, _, compiled = compile_statements(files_reader([SecurePath(path)], [transpile_snowsql_templates], True))
    texts = ["asynchronous" if each.execute_async else each.statement or "a command" for each in compiled]
    found[path] = errors, texts
print(json.dumps(found))
"""
"""What `snow sql -f FILE` does before it signs in."""


def test_it_reads_each_script_as_the_statements_that_deploy_runs() -> None:
    scripts = sorted(map(str, (ROOT / "snowflake").glob("*.sql")))
    python = Path(str(SNOW)).resolve().with_name("python")
    done = subprocess.run([python, "-c", READ, *scripts], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for script in scripts:
        errors, statements = found[script]
        ours = [words(text) for text in split(Path(script).read_text(encoding="utf-8"))]
        assert (errors, [words(text) for text in statements]) == ([], ours), script


def words(statement: str) -> str:
    """Return the statement without its comments and semicolon, with single blanks."""
    lines = [line for line in statement.splitlines() if not line.strip().startswith("--")]
    return " ".join(" ".join(lines).split()).removesuffix(";").rstrip()
