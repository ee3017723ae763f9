"""The commands: one thin function a job, no logic; those of a group in a module of its name.

Rooms are imported inside the functions, so that `adventure --help` loads none of them.
"""

import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from adventure.cli import history, snowflake, stage, stream, tasks
from adventure.cli.job import importing_demo, pipeline_of, run_long_lived, run_tasks, settings_of
from adventure.core.errors import AdventureError
from adventure.core.private import only_owner

app = typer.Typer(
    name="adventure",
    help="Moves sales from PostgreSQL and support chats from MongoDB to a dashboard: nothing lost, nothing doubled.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

_TOGETHER = "All at once"
_LIVE = "Live sales"
_MOVE = "From the sources to the raw tables"
_SHOW = "From the raw tables to the dashboard"

Seed = Annotated[int | None, typer.Option(help="Makes what is generated repeatable.")]


def main() -> None:
    """Runs a command; what goes wrong is one sentence on stderr and exit code 1 (a traceback with --debug)."""
    only_owner()
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
    from adventure.core.log import log_fatal

    if not log_fatal(sentence):
        typer.secho(sentence, fg=typer.colors.RED, err=True)
    raise SystemExit(code)


@app.callback()
def _options(
    context: typer.Context,
    env: Annotated[Path | None, typer.Option(help="File of settings, like .env.example (default: .env).")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    context.obj = env


@app.command(rich_help_panel=_TOGETHER)
def demo(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="End after one full pass, without serving.")] = False,
    orders: Annotated[int, typer.Option(min=1, help="Orders in the first backfill.")] = 6000,
    seed: Seed = None,
) -> None:
    """Everything on this machine: embedded servers, sales, the pipeline, the dashboard."""
    with importing_demo():
        from adventure.demo.run import run_demo

    run_demo(settings_of(context), once=once, orders=orders, seed=seed)


@app.command(rich_help_panel=_LIVE)
def generate(
    context: typer.Context,
    seed: Seed = None,
    batches: Annotated[int | None, typer.Option(min=1, help="End after this many batches.")] = None,
) -> None:
    """Writes sales into PostgreSQL and chats into MongoDB, a batch every GENERATION_INTERVAL_SEC."""
    with importing_demo():
        from adventure.demo.generator.run import generate as run_generator

    settings = settings_of(context)
    run_long_lived(settings, lambda stop: run_generator(settings, seed=seed, batches=batches, stop=stop))


@app.command(rich_help_panel=_MOVE)
def process(context: typer.Context) -> None:
    """Extracts and stages what is new: one cycle, or one every PROCESSOR_INTERVAL_SEC."""
    from adventure.processor.run import process_forever, process_once

    settings, streams = pipeline_of(context)
    if settings.processor_interval_sec == 0:
        process_once(settings, streams)
        return
    run_long_lived(
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


@app.command(rich_help_panel=_SHOW)
def build(
    context: typer.Context,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Rebuild every model from the raw tables.")
    ] = False,
) -> None:
    """Builds and tests all dbt models, and publishes what the dashboard shows."""
    run_tasks(context, "build", scope="full refresh" if full_refresh else "whole")


@app.command(rich_help_panel=_SHOW)
def check(context: typer.Context) -> None:
    """Compares source, raw tables and models, as a table; exit code 1 if a check does not hold."""
    from adventure.core.errors import CheckFailed
    from adventure.monitoring.checks import run_checks
    from adventure.monitoring.status import print_checks

    checks = run_checks(*pipeline_of(context))
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
    force: Annotated[
        bool, typer.Option("--force", help="With --repair: mark as deleted also more than 10 % of the stream's keys.")
    ] = False,
    rows: Annotated[
        bool, typer.Option("--rows", help="Compare whole rows, not only keys and cursors; reads every column.")
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", help="A staged window that will not be loaded: take it as not staged."),
    ] = None,
    low: Annotated[
        datetime | None, typer.Option("--from", help="Compare from this cursor on (UTC). Default: from the lowest.")
    ] = None,
    high: Annotated[
        datetime | None, typer.Option("--to", help="Compare up to below this cursor (UTC). Default: the watermark.")
    ] = None,
) -> None:
    """Compares source and warehouse by key and version; exit code 1 if something differs and was not repaired."""
    from adventure.core.console import console
    from adventure.core.errors import CheckFailed, ConfigError
    from adventure.core.streams import find_stream
    from adventure.reconcile.report import print_reports
    from adventure.reconcile.run import reconcile as run_reconciliation

    if force and not repair:
        raise ConfigError("--force changes nothing without --repair", "Give both, or neither")
    settings, streams = pipeline_of(context)
    chosen = (find_stream(streams, stream),) if stream else streams
    reports = run_reconciliation(
        settings, chosen, repair=repair, force=force, low=low, high=high, without=without or (), rows=rows
    )
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
    from adventure.monitoring.status import print_status

    problems = print_status(*pipeline_of(context))
    if check and problems:
        raise typer.Exit(1)


@app.command(rich_help_panel=_TOGETHER)
def health(
    file: Annotated[Path, typer.Argument(envvar="HEARTBEAT_FILE", help="The heartbeat of a long-lived command.")],
) -> None:
    """Tells whether a long-lived command is stuck; exit code 1 if it is. For health checks."""
    from adventure.core.heartbeat import check as check_heartbeat

    found = check_heartbeat(file)
    typer.echo(found.sentence)
    if not found.alive:
        raise typer.Exit(1)


@app.command(rich_help_panel=_SHOW)
def dashboard(context: typer.Context) -> None:
    """Serves the dashboard on DASHBOARD_PORT."""
    from adventure.dashboard.serve import serve

    settings = settings_of(context)
    run_long_lived(settings, lambda stop: serve(settings, stop))


app.add_typer(stage.app, name="stage", rich_help_panel=_MOVE)
app.add_typer(stream.app, name="stream", rich_help_panel=_MOVE)
app.add_typer(tasks.app, name="tasks", rich_help_panel=_MOVE)
app.add_typer(history.app, name="history", rich_help_panel=_SHOW)
app.add_typer(snowflake.app, name="snowflake", rich_help_panel=_SHOW)
