"""The commands: one thin function a job, no logic.

Rooms are imported inside the functions, so that `adventure --help` loads none of them.
"""

import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adventure.errors import AdventureError

if TYPE_CHECKING:
    import threading

    from adventure.settings import Settings
    from adventure.streams import Stream
    from adventure.warehouse.build import Scope

app = typer.Typer(
    name="adventure",
    help="Moves sales from PostgreSQL and support chats from MongoDB to a dashboard: nothing lost, nothing doubled.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
history_app = typer.Typer(no_args_is_help=True, help="Creates or loads the warehouse's years of history.")
stage_app = typer.Typer(no_args_is_help=True, help="Looks into the stages.")
snowflake_app = typer.Typer(no_args_is_help=True, help="Sets Snowflake up, or takes all of it down.")
tasks_app = typer.Typer(no_args_is_help=True, help="Runs the tasks that load, clean up, build and publish.")

_TOGETHER = "All at once"
_LIVE = "Live sales"
_MOVE = "From the sources to the raw tables"
_SHOW = "From the raw tables to the dashboard"

Seed = Annotated[int | None, typer.Option(help="Makes what is generated repeatable.")]


def main() -> None:
    """Runs a command; what goes wrong is one sentence on stderr and exit code 1 (a traceback with --debug)."""
    # The first process of a container does not even hear a SIGTERM for which it has no handler.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except KeyboardInterrupt:
        _fail("Interrupted.", 130)
    except AdventureError as error:
        _fail(str(error), 1, error)
    except Exception as error:  # noqa: BLE001 - the last door: whatever was not foreseen is still one sentence
        _fail(f"Unexpected {type(error).__name__}: {error}. Run it again with --debug to see where.", 1, error)


def _fail(sentence: str, code: int, error: BaseException | None = None) -> None:
    if error is not None and "--debug" in sys.argv:
        raise error
    from adventure.log import last_words

    if not last_words(sentence):
        typer.secho(sentence, fg=typer.colors.RED, err=True)
    raise SystemExit(code)


@app.callback()
def _options(
    context: typer.Context,
    env: Annotated[Path | None, typer.Option(help="File of settings, like .env.example (default: .env).")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    context.obj = env


def _settings(context: typer.Context) -> "Settings":
    from adventure import log
    from adventure.settings import load_settings

    settings = load_settings(context.find_root().obj)
    log.configure(settings.log_format)
    return settings


def _pipeline(context: typer.Context) -> "tuple[Settings, tuple[Stream, ...]]":
    from adventure.streams import load_streams

    settings = _settings(context)
    return settings, load_streams(settings)


def _serve(settings: "Settings", job: "Callable[[threading.Event], Any]", *, beats_in: "Path | None" = None) -> None:
    """Runs a long-lived job until SIGTERM or Ctrl-C, with a heartbeat in HEARTBEAT_FILE or else in `beats_in`."""
    from adventure import heartbeat
    from adventure.stopping import run_until_stopped

    heartbeat.begin(settings.heartbeat_file or beats_in, settings.stuck_after_sec)
    run_until_stopped(job)
    heartbeat.end()


@app.command(rich_help_panel=_TOGETHER)
def demo(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="End after one full pass, without serving.")] = False,
    orders: Annotated[int, typer.Option(min=1, help="Orders in the first backfill.")] = 6000,
    seed: Seed = None,
) -> None:
    """Everything on this machine: embedded servers, sales, the pipeline, the dashboard."""
    from adventure.demo import run_demo

    run_demo(_settings(context), once=once, orders=orders, seed=seed)


@app.command(rich_help_panel=_LIVE)
def generate(
    context: typer.Context,
    seed: Seed = None,
    batches: Annotated[int | None, typer.Option(min=1, help="End after this many batches.")] = None,
) -> None:
    """Writes sales into PostgreSQL and chats into MongoDB, a batch every GENERATION_INTERVAL_SEC."""
    from adventure.generator.run import generate as run_generator

    settings = _settings(context)
    _serve(settings, lambda stop: run_generator(settings, seed=seed, batches=batches, stop=stop))


@app.command(rich_help_panel=_MOVE)
def process(context: typer.Context) -> None:
    """Extracts and stages what is new: one cycle, or one every PROCESSOR_INTERVAL_SEC."""
    from adventure.processor.run import process_forever, process_once

    settings, streams = _pipeline(context)
    if settings.processor_interval_sec == 0:
        process_once(settings, streams)
        return
    _serve(
        settings,
        lambda stop: process_forever(
            settings,
            streams,
            interval=settings.processor_interval_sec,
            max_runtime=settings.processor_max_runtime_sec,
            stop=stop,
        ),
        beats_in=settings.processor_heartbeat,
    )


@tasks_app.command("run")
def tasks_run(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="A task; those that depend on it run after it. Default: all.")
    ] = None,
) -> None:
    """Runs one task with those that depend on it, or all."""
    _run_tasks(context, name)


def _run_tasks(context: typer.Context, name: str | None, *, scope: "Scope | None" = None) -> None:
    from adventure.status import print_task_runs
    from adventure.warehouse.tasks import run_task

    runs = run_task(*_pipeline(context), name, scope=scope)
    print_task_runs(runs)
    if any(run.outcome == "failed" for run in runs):
        raise typer.Exit(1)


@tasks_app.command("serve")
def tasks_serve(
    context: typer.Context,
    every: Annotated[
        str | None, typer.Option(help="Time between runs: 10s, 5m, 1h (default: TASKS_INTERVAL_SEC).")
    ] = None,
) -> None:
    """Keeps the task graph on its schedule until stopped."""
    from adventure.settings import parse_duration
    from adventure.warehouse.tasks import serve

    settings, streams = _pipeline(context)
    interval = parse_duration(every) if every else settings.tasks_interval_sec
    _serve(settings, lambda stop: serve(settings, streams, every=interval, stop=stop))


@stage_app.command("list")
def stage_list(
    context: typer.Context, stream: Annotated[str | None, typer.Argument(help="One stream. Default: all.")] = None
) -> None:
    """Lists staged files, like LIST @stage."""
    from adventure.status import print_stage

    print_stage(*_pipeline(context), stream)


@stage_app.command("remove")
def stage_remove(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="The stream whose windows to remove.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="Remove windows that were not loaded, too: their rows are lost to the warehouse."),
    ] = False,
) -> None:
    """Removes a stream's loaded windows, like REMOVE @stage; with --force, all of them."""
    from adventure.status import remove_windows

    remove_windows(*_pipeline(context), stream, force=force)


@app.command(rich_help_panel=_SHOW)
def build(
    context: typer.Context,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Rebuild every model from the raw tables.")
    ] = False,
) -> None:
    """Builds and tests all dbt models, and publishes what the dashboard shows."""
    _run_tasks(context, "build", scope="full refresh" if full_refresh else "whole")


@app.command(rich_help_panel=_SHOW)
def check(context: typer.Context) -> None:
    """Compares source, raw tables and models, as a table; exit code 1 if a check does not hold."""
    from adventure.checks import run_checks
    from adventure.errors import CheckFailed
    from adventure.status import print_checks

    checks = run_checks(*_pipeline(context))
    print_checks(checks)
    failed = [each.label for each in checks if each.failed]
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(checks)} checks do not hold: {', '.join(failed)}")


@app.command(rich_help_panel=_SHOW)
def reconcile(
    context: typer.Context,
    stream: Annotated[str | None, typer.Argument(help="One stream. Default: all.")] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Stage what is missing or older, and mark what is gone as deleted.")
    ] = False,
    low: Annotated[
        datetime | None, typer.Option("--from", help="Compare from this cursor on (UTC). Default: from the lowest.")
    ] = None,
    high: Annotated[
        datetime | None, typer.Option("--to", help="Compare up to below this cursor (UTC). Default: the watermark.")
    ] = None,
) -> None:
    """Compares source and warehouse by key and version; exit code 1 if something differs and was not repaired."""
    from adventure.errors import CheckFailed
    from adventure.reconcile.report import print_reports
    from adventure.reconcile.run import reconcile as run_reconciliation
    from adventure.status import console
    from adventure.streams import find_stream

    settings, streams = _pipeline(context)
    chosen = (find_stream(streams, stream),) if stream else streams
    reports = run_reconciliation(settings, chosen, repair=repair, low=low, high=high)
    print_reports(console(), reports)
    different = [report.stream.name for report in reports if not report.is_clean]
    if different:
        raise CheckFailed(f"Source and warehouse differ in {', '.join(different)}", "See above what can be done")


@app.command(rich_help_panel=_SHOW)
def status(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="End with exit code 1 if something is wrong. For monitors.")
    ] = False,
) -> None:
    """Shows, per stream, how far it is: watermark, windows waiting, rows loaded, last task runs; and what is wrong."""
    from adventure.status import print_status

    problems = print_status(*_pipeline(context))
    if check and problems:
        raise typer.Exit(1)


@app.command(rich_help_panel=_TOGETHER)
def health(
    file: Annotated[Path, typer.Argument(envvar="HEARTBEAT_FILE", help="The heartbeat of a long-lived command.")],
) -> None:
    """Tells whether a long-lived command is stuck; exit code 1 if it is. For health checks."""
    from adventure.heartbeat import check as check_heartbeat

    found = check_heartbeat(file)
    typer.echo(found.sentence)
    if not found.alive:
        raise typer.Exit(1)


@app.command(rich_help_panel=_SHOW)
def dashboard(context: typer.Context) -> None:
    """Serves the dashboard on DASHBOARD_PORT."""
    from adventure.dashboard.serve import serve

    settings = _settings(context)
    _serve(settings, lambda stop: serve(settings, stop))


@history_app.command("create")
def history_create(
    context: typer.Context,
    seed: Annotated[int, typer.Option(help="Another seed gives another history of the same shape.")] = 1,
) -> None:
    """Synthesises years of orders, purchases, campaigns, customers and products, and loads them."""
    from adventure.history import create

    create(_settings(context), seed=seed)


@history_app.command("load")
def history_load(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with one file or folder per raw table.")],
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Leave tables without a file empty.")] = False,
) -> None:
    """Loads the history from files that you have."""
    from adventure.history import load

    load(_settings(context), folder, allow_missing=allow_missing)


@snowflake_app.command("deploy")
def snowflake_deploy(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the script, and run nothing.")] = False,
    triggered: Annotated[
        bool, typer.Option("--triggered", help="Load within a minute of a new file, instead of every hour.")
    ] = False,
) -> None:
    """Makes roles, warehouse, stages, tables, tasks and the dashboard, or brings them up to date."""
    from adventure.warehouse.snowflake.scripts import deployment

    settings, streams = _pipeline(context)
    _run_script(settings, deployment(settings, streams, "triggered" if triggered else "scheduled"), dry_run=dry_run)


@snowflake_app.command("destroy")
def snowflake_destroy(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the script, and run nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Removes all that deploy made, the rows included."""
    from adventure.warehouse.snowflake.scripts import teardown

    settings = _settings(context)
    if not dry_run and not yes:
        typer.confirm(f"Remove the database {settings.snowflake_database} with all its rows?", abort=True)
    _run_script(settings, teardown(settings), dry_run=dry_run)


def _run_script(settings: "Settings", statements: list[str], *, dry_run: bool) -> None:
    from adventure.warehouse.snowflake.deploy import run_statements

    if dry_run:
        for statement in statements:
            typer.echo(f"{statement};\n")
    else:
        run_statements(settings, statements, lambda statement: typer.echo(f"{statement};\n"))


app.add_typer(stage_app, name="stage", rich_help_panel=_MOVE)
app.add_typer(tasks_app, name="tasks", rich_help_panel=_MOVE)
app.add_typer(history_app, name="history", rich_help_panel=_SHOW)
app.add_typer(snowflake_app, name="snowflake", rich_help_panel=_SHOW)
