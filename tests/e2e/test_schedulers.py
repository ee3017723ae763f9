"""Run the examples for Airflow and Dagster for real, each in an environment of its own, on generated sales."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import duckdb
import psycopg
import pytest

from adventure.core.environment import load_settings
from adventure.core.settings import Settings
from adventure.demo.api.serve import serving
from adventure.demo.generator.run import backfill
from adventure.demo.generator.schema import create_tables
from adventure.demo.history import ensure_history
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import create_databases
from tests.wheels import ROOT, UV

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

INSTALL_SEC = 300
"""The longest time for an installation from a package registry; a slow one skips these tests, visibly."""

EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Scheduler:
    """One scheduler in an environment of its own."""

    run: Callable[[dict[str, str]], "subprocess.CompletedProcess[str]"]
    """Runs the pipeline once, with these variables."""


@pytest.fixture(scope="module", params=["airflow", pytest.param("dagster", marks=pytest.mark.examples)])
def scheduler(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scheduler:
    name = request.param
    folder, example = tmp_path_factory.mktemp(name), EXAMPLES / name
    binaries = _install(folder / "environment", example / "requirements.lock")
    home = folder / "home"
    home.mkdir()
    variables = {"HOME": str(home), "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "ADVENTURE_RETRY_SEC": "1"}
    if name == "airflow":
        variables |= {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(example),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }
        subprocess.run(["airflow", "db", "migrate"], env=variables, check=True, capture_output=True)
        command = ["airflow", "dags", "test", "adventure"]
    else:
        variables |= {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}
        (home / "dagster.yaml").write_text((example / "dagster.yaml").read_text())
        command = ["dagster", "job", "execute", "-f", str(example / "adventure_job.py"), "-j", "adventure"]

    def run(given: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            cwd=home,
            env=variables | given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )

    return Scheduler(run)


def _install(environment: Path, lock: Path) -> Path:
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    python = environment / "bin" / "python"
    # Let a download that was cut be tried again, and a connection that hangs be given up.
    patient = {"UV_HTTP_TIMEOUT": "60", "UV_HTTP_RETRIES": "5"}
    name = lock.parent.name
    try:
        done = subprocess.run(
            [UV, "pip", "sync", "--quiet", "--no-progress", "--require-hashes", "--python", python, lock],
            env=os.environ | patient,
            stderr=subprocess.PIPE,
            text=True,
            timeout=INSTALL_SEC,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"SKIPPED: {name} cannot be installed within {INSTALL_SEC} s")
    if "Failed to fetch" in done.stderr or "error sending request" in done.stderr:
        pytest.skip(f"SKIPPED: {name} cannot be installed: no package registry answers")
    assert done.returncode == 0, done.stderr
    return environment / "bin"


@dataclass(frozen=True)
class Project:
    """A folder with the settings of a pipeline."""

    folder: Path
    reader: Settings
    writer: Settings

    def sell(self) -> None:
        backfill(self.writer, orders=100, days=60, seed=None)

    def counts(self) -> tuple[int, int]:
        """Return the orders at the source and in the published marts, which hold the live and the old ones."""
        with psycopg.connect(self.writer.postgres_dsn) as connection:
            live = connection.execute("select count(*) from orders").fetchall()[0][0]
        with duckdb.connect(str(self.reader.duckdb_path), read_only=True) as connection:
            loaded = connection.execute("select count(*) from raw_ext.orders_raw").fetchall()[0][0]
            old = connection.execute("select count(*) from ecom.sales_order_raw").fetchall()[0][0]
        with duckdb.connect(str(self.reader.published_path), read_only=True) as connection:
            published = connection.execute("select sum(orders) from sales_by_hour").fetchall()[0][0]
        assert loaded == live
        return live + old, published

    def reviews(self) -> tuple[int, int]:
        """Return the reviews of the shop's API and of the published mart."""
        with psycopg.connect(self.writer.postgres_dsn) as connection:
            written = connection.execute("select count(*) from reviews_api.reviews where status = 'published'")
            at_source = written.fetchall()[0][0]
        with duckdb.connect(str(self.reader.published_path), read_only=True) as connection:
            return at_source, connection.execute("select sum(reviews) from reviews_by_day").fetchall()[0][0]


@pytest.fixture(scope="module")
def project(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("project")
    made = create_databases(sandbox, "schedulers", mongo_db="schedulers_support")
    # The folder has a long-lived processor, whose interval the examples override.
    own = {"DATA_DIR": str(folder / "data"), "PROCESSOR_INTERVAL_SEC": "10", "SHOP_API_PORT": "0"}
    lines = [f"{name}='{value}'\n" for name, value in (made.reader_env | own).items()]
    (folder / ".env").write_text("".join(lines))
    reader, writer = (
        load_settings(**{name.lower(): value for name, value in (environment | own).items()})
        for environment in (made.reader_env, made.writer_env)
    )
    create_tables(writer)
    ensure_history(reader)
    with serving(writer) as (port, _):
        with (folder / ".env").open("a") as file:
            file.write(f"API_URL='http://127.0.0.1:{port}/v1'\n")
        yield Project(folder, reader, writer)


def test_a_run_moves_models_and_checks_what_is_new(scheduler: Scheduler, project: Project) -> None:
    project.sell()
    command = Path(sys.executable).with_name("adventure")
    done = scheduler.run({"ADVENTURE": str(command), "ADVENTURE_PROJECT": str(project.folder)})
    assert done.returncode == 0, done.stdout
    expected, found = project.counts()
    assert found == expected
    at_source, published = project.reviews()
    assert published == at_source > 0


@pytest.fixture
def alerts() -> Iterator[tuple[str, list[str]]]:
    """The address of a webhook, and the texts that it got."""
    texts: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", texts
        server.shutdown()


def test_a_failed_task_is_retried_then_alerts_and_stops_the_run(
    scheduler: Scheduler, tmp_path: Path, alerts: tuple[str, list[str]]
) -> None:
    url, texts = alerts
    failing = tmp_path / "adventure"
    failing.write_text(f'#!/bin/sh\necho "$*" >> "{tmp_path}/calls"\ntest "$1" != load\n')
    failing.chmod(0o755)
    variables = {"ADVENTURE": str(failing), "ADVENTURE_PROJECT": str(tmp_path), "ADVENTURE_ALERTS": url}
    assert scheduler.run(variables).returncode != 0
    assert (tmp_path / "calls").read_text().split() == ["process", "load", "load", "load"]
    assert len(texts) == 1
    assert "load failed" in texts[0]
