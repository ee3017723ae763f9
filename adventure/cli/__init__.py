"""The commands: one thin function each, without logic. Each group of commands has its own module.

The functions import the packages that they need, so that `adventure --help` loads none of them.
"""

import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adventure.cli import alert, digest, history, init, query, raw, snowflake, stage, stream, tasks
from adventure.cli.ending import end_at_once
from adventure.cli.garbage import collect_seldom
from adventure.cli.general import AsJson, Commands, General, Interrupted, MainGroup
from adventure.cli.job import (
    importing_demo,
    level_options,
    pipeline_of,
    run_loads,
    run_long_lived,
    run_tasks,
    settings_of,
)
from adventure.core.errors import AdventureError
from adventure.core.extras import DISTRIBUTION, naming_extra
from adventure.core.interrupts import interrupt
from adventure.core.private import only_owner

if TYPE_CHECKING:
    from adventure.core.settings import Settings
    from adventure.core.streams import Stream

app = Commands(
    name="adventure",
    help="Copy tables, documents and API records into a warehouse, build models with dbt, and show a dashboard.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    cls=MainGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="--env, --quiet, --verbose and --debug may stand before or after the command. `adventure"
    " --install-completion` completes commands and options in your shell. Exit codes: 0, 1 for an error or a problem,"
    " 2 for wrong usage, 130 after Ctrl-C.",
)

_GENERAL = "General"
_LIVE = "Generated sales"
_MOVE = "Sources to raw tables"
_SHOW = "Raw tables to dashboard"

Seed = Annotated[int | None, typer.Option(help="Seed that makes the generated data repeatable.")]


def main() -> None:
    """Run a command. An error is one sentence on stderr and exit code 1 (with --debug, a traceback)."""
    only_owner()
    collect_seldom()
    # Linux ignores SIGTERM for a container's first process unless it has a handler.
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # A shell ignores it for jobs in the background.
        signal.signal(signal.SIGINT, interrupt)
    try:
        with naming_extra("This command"):
            # The name under which the shell completes it, also for `python -m adventure`.
            app(prog_name="adventure")
    except (KeyboardInterrupt, Interrupted):
        _fail("Interrupted. Run the command again: it repeats what was half done.", 130)
    except AdventureError as error:
        _fail(str(error), 1, error)
    except PermissionError as error:
        _fail(
            f"This user may not use {error.filename or 'a file'}: {error.strerror}. Grant it the permission, or set"
            " DATA_DIR to another folder.",
            1,
            error,
        )
    except Exception as error:  # noqa: BLE001 - an unforeseen error is also reported in one sentence
        _fail(f"Unexpected {type(error).__name__}: {error}. Run the command again with --debug to see where.", 1, error)


def _fail(sentence: str, code: int, error: BaseException | None = None) -> None:
    if error is not None and "--debug" in sys.argv:
        raise error
    from adventure.core.log import has_colour, log_fatal

    # Errors name a database as "the source database".
    sentence = f"The{sentence[3:]}" if sentence.startswith("the ") else sentence
    if not log_fatal(sentence):
        typer.secho(sentence, fg=typer.colors.RED if has_colour(sys.stderr) else None, err=True)
    raise SystemExit(code)


def _print_version(is_given: bool) -> None:
    if is_given:
        from importlib.metadata import version

        typer.echo(f"adventure {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    env: Annotated[Path | None, typer.Option(help="Settings file, like .env.example (default: .env).")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log only warnings and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is read and found, too.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if quiet and verbose:
        raise typer.BadParameter("--quiet and --verbose exclude each other")
    context.obj = General(env, "quiet" if quiet else "verbose" if verbose else "normal")


@app.command(rich_help_panel=_GENERAL)
def demo(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Stop after one full pass; serve nothing.")] = False,
    orders: Annotated[int, typer.Option(min=1, help="Orders in the first backfill.")] = 6000,
    seed: Seed = None,
) -> None:
    """Run everything on this machine: embedded servers, generated sales, the pipeline and the dashboard."""
    with importing_demo():
        from adventure.demo.run import run_demo

    run_demo(settings_of(context), once=once, orders=orders, seed=seed, options=level_options(context))


@app.command(rich_help_panel=_LIVE)
def generate(
    context: typer.Context,
    seed: Seed = None,
    batches: Annotated[int | None, typer.Option(min=1, help="Stop after this many batches.")] = None,
) -> None:
    """Write sales and reviews to PostgreSQL and chats to MongoDB, one batch every GENERATION_INTERVAL_SEC."""
    with importing_demo():
        from adventure.demo.generator.run import generate as run_generator

    settings = settings_of(context)
    run_long_lived(settings, lambda stop: run_generator(settings, seed=seed, batches=batches, stop=stop))


@app.command(rich_help_panel=_LIVE)
def api(context: typer.Context) -> None:
    """Serve the generated reviews as an HTTP API, at SHOP_API_HOST and SHOP_API_PORT."""
    with importing_demo():
        from adventure.demo.api.serve import serve

    settings = settings_of(context)
    run_long_lived(settings, lambda stop: serve(settings, stop))


@app.command(rich_help_panel=_MOVE)
def process(
    context: typer.Context,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what the next cycle would read, and stage nothing.")
    ] = False,
) -> None:
    """Extract and stage new rows: one cycle, or one every PROCESSOR_INTERVAL_SEC."""
    if plan:
        _print_plan(*pipeline_of(context))
        return
    from adventure.processor.run import process_forever, process_once

    settings, streams = pipeline_of(context)
    if settings.cycle_interval_sec == 0:
        process_once(settings, streams)
        return
    run_long_lived(
        settings,
        lambda stop: process_forever(
            settings,
            streams,
            interval=settings.cycle_interval_sec,
            max_runtime=settings.processor_max_runtime_sec,
            stop=stop,
        ),
        heartbeat_file=settings.processor_heartbeat,
    )


def _print_plan(settings: "Settings", streams: "tuple[Stream, ...]") -> None:
    from adventure.processor.preview import preview, print_previews

    previews = preview(settings, streams)
    print_previews(previews)
    if any(each.problem for each in previews):
        raise typer.Exit(1)


@app.command(rich_help_panel=_MOVE)
def load(context: typer.Context) -> None:
    """Load what is staged into the raw tables, and remove the loaded files. Exit code 1 if a stream fails."""
    run_loads(context)


@app.command(rich_help_panel=_SHOW)
def build(
    context: typer.Context,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Rebuild every model from the raw tables.")
    ] = False,
) -> None:
    """Build and test all dbt models, and publish the dashboard's data."""
    run_tasks(context, "build", scope="full refresh" if full_refresh else "whole")


@app.command(rich_help_panel=_SHOW)
def check(
    context: typer.Context,
    queries: Annotated[
        bool,
        typer.Option("--queries", help="Print the results of the two validation queries, and check nothing."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare source, raw tables and models, and print a table. Exit code 1 if a check does not hold."""
    from adventure.core.errors import CheckFailed
    from adventure.monitoring import as_json as json_output
    from adventure.monitoring.checks import run_checks
    from adventure.monitoring.status import print_checks

    if queries:
        from adventure.monitoring.queries import print_results, results_object, run_queries

        results = run_queries(settings_of(context))
        json_output.write(results_object(results)) if as_json else print_results(results)
        return
    checks = run_checks(*pipeline_of(context))
    if as_json:
        json_output.write(json_output.checks(checks))
    else:
        print_checks(checks)
    failed = [each.label for each in checks if each.failed]
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(checks)} checks do not hold: {', '.join(failed)}")


@app.command(rich_help_panel=_SHOW)
def reconcile(
    context: typer.Context,
    stream: Annotated[str | None, typer.Argument(help="One stream. Default: all.")] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Stage missing and outdated rows, and mark rows as deleted that the source has deleted."
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="With --repair: mark rows as deleted even if they are more than 10 % of the stream's keys."
        ),
    ] = False,
    rows: Annotated[
        bool, typer.Option("--rows", help="Compare whole rows, not only keys and cursors. Reads every column.")
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="WINDOW", help="Ignore this staged window, because it will not be loaded."),
    ] = None,
    low: Annotated[
        datetime | None,
        typer.Option("--from", metavar="TIME", help="Compare from this cursor (UTC). Default: the lowest."),
    ] = None,
    high: Annotated[
        datetime | None,
        typer.Option("--to", metavar="TIME", help="Compare below this cursor (UTC). Default: the watermark."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare source and warehouse by key and version. Exit code 1 if rows differ and were not repaired."""
    from adventure.core.console import console
    from adventure.core.errors import CheckFailed, ConfigError
    from adventure.core.streams import find_stream
    from adventure.monitoring import as_json as json_output
    from adventure.reconcile.as_json import reports as reports_as_json
    from adventure.reconcile.report import print_reports
    from adventure.reconcile.run import reconcile as run_reconciliation

    if force and not repair:
        raise ConfigError("--force has no effect without --repair", "Add --repair, or leave out --force")
    settings, streams = pipeline_of(context)
    chosen = (find_stream(streams, stream),) if stream else streams
    reports = run_reconciliation(
        settings, chosen, repair=repair, force=force, low=low, high=high, without=without or (), rows=rows
    )
    if as_json:
        json_output.write(reports_as_json(reports))
    else:
        print_reports(console(), reports)
    different = [report.stream.name for report in reports if not report.is_clean]
    if different:
        raise CheckFailed(
            f"Source and warehouse differ in {', '.join(different)}", "The output above names a fix for each difference"
        )


@app.command(rich_help_panel=_SHOW)
def rejects(
    context: typer.Context,
    stream: Annotated[str | None, typer.Argument(help="One stream. Default: all.")] = None,
    every: Annotated[bool, typer.Option("--all", help="List the rows that came back, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Rows to list, the newest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the rejected rows: key, column, reason, and how they come back."""
    from adventure.core.streams import find_stream
    from adventure.monitoring import as_json as json_output
    from adventure.reconcile.rejects import print_rejects, read_rejects, rejects_object

    settings, streams = pipeline_of(context)
    found = read_rejects(settings, (find_stream(streams, stream),) if stream else streams)
    if as_json:
        json_output.write(rejects_object(found, limit=limit, returned=every))
    else:
        print_rejects(found, limit=limit, returned=every)


@app.command(rich_help_panel=_SHOW)
def status(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with code 1 if there is a problem. For monitors.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show each stream's watermark, waiting windows and loaded rows, the last task runs, and all problems."""
    from adventure.monitoring.status import print_status, print_status_json

    problems = (print_status_json if as_json else print_status)(*pipeline_of(context))
    end_at_once()
    if check and problems:
        raise typer.Exit(1)


@app.command(rich_help_panel=_GENERAL)
def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Examine settings, databases, privileges, tables, state, warehouse and disk. Exit code 1 if something is wrong.

    It writes nothing.
    """
    from adventure.monitoring import as_json as json_output
    from adventure.monitoring.doctor import examine, findings_object, print_findings

    general: General = context.find_root().obj
    findings = examine(*pipeline_of(context), general.env or Path(".env"))
    if as_json:
        json_output.write(findings_object(findings))
    else:
        print_findings(findings)
    end_at_once()
    if any(each.level == "error" for each in findings):
        raise typer.Exit(1)


@app.command(rich_help_panel=_GENERAL)
def health(
    file: Annotated[Path, typer.Argument(envvar="HEARTBEAT_FILE", help="The heartbeat file of a long-lived command.")],
) -> None:
    """Check whether a long-lived command is stuck. Exit code 1 if it is. For health checks.

    A processor that retries is not stuck: a restart would not help it. The output says what it retries.
    """
    from adventure.core.failures import beside, read
    from adventure.core.heartbeat import check as check_heartbeat

    found = check_heartbeat(file)
    typer.echo(found.sentence)
    for failure in read(beside(file)):
        typer.echo(f"Failing since {failure.since:%H:%M} UTC: {', '.join(failure.streams)}: {failure.problem}")
    if not found.alive:
        raise typer.Exit(1)


@app.command(rich_help_panel=_SHOW)
def dashboard(context: typer.Context) -> None:
    """Serve the dashboard on DASHBOARD_PORT."""
    from adventure.dashboard.serve import serve

    settings = settings_of(context)
    run_long_lived(settings, lambda stop: serve(settings, stop))


@app.command(rich_help_panel=_SHOW)
def mcp(
    context: typer.Context,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Serve HTTP on this port of the loopback address. Default: stdio."),
    ] = None,
) -> None:
    """Serve status, models and bounded queries to an agent, read-only, by the Model Context Protocol."""

    with naming_extra("The server for agents"):
        from adventure.mcp.server import serve

    serve(*pipeline_of(context), port)


app.command(rich_help_panel=_GENERAL)(alert.alert)
app.command(rich_help_panel=_SHOW)(digest.digest)
app.command(rich_help_panel=_MOVE)(init.init)
app.command(rich_help_panel=_SHOW)(query.query)
app.add_typer(raw.app, name="raw", rich_help_panel=_MOVE)
app.add_typer(stage.app, name="stage", rich_help_panel=_MOVE)
app.add_typer(stream.app, name="stream", rich_help_panel=_MOVE)
app.add_typer(tasks.app, name="tasks", rich_help_panel=_MOVE)
app.add_typer(history.app, name="history", rich_help_panel=_SHOW)
app.add_typer(snowflake.app, name="snowflake", rich_help_panel=_SHOW)
