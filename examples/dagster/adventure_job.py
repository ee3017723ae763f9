"""The pipeline as a job of Dagster: process → load → build → check, hourly, with retries and alerts.

Dagster and Adventure need versions of their own, so each has an environment of its own, and an op runs
Adventure's command. Every command may be repeated: it continues where the last run stopped, and no row is loaded twice.

    ADVENTURE           the command, such as /opt/adventure/bin/adventure
    ADVENTURE_PROJECT   the folder with .env and, if they are your own, pipeline.toml and dbt
    ADVENTURE_ALERTS    optional: a webhook that takes {"text": …} as Slack's do, called when a step has failed for good
"""

import json
import os
import subprocess
import urllib.request

from dagster import (
    Backoff,
    Definitions,
    Failure,
    HookContext,
    In,
    Nothing,
    OpExecutionContext,
    RetryPolicy,
    ScheduleDefinition,
    failure_hook,
    in_process_executor,
    job,
    op,
)

RETRIES = RetryPolicy(
    max_retries=2, delay=float(os.environ.get("ADVENTURE_RETRY_SEC", "60")), backoff=Backoff.EXPONENTIAL
)
TIMEOUT_SEC = 1800


def run(context: OpExecutionContext, *command: str) -> None:
    """Run a command in the project's folder, and fail with its last lines."""
    done = subprocess.run(
        [os.environ.get("ADVENTURE", "adventure"), *command],
        cwd=os.environ.get("ADVENTURE_PROJECT", "."),
        # One cycle, also where .env asks for a long-lived processor.
        env={**os.environ, "PROCESSOR_INTERVAL_SEC": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SEC,
        check=False,
    )
    context.log.info(done.stdout)
    if done.returncode:
        raise Failure(f"adventure {' '.join(command)} ended with exit code {done.returncode}: {done.stdout[-1000:]}")


@op(retry_policy=RETRIES)
def process(context: OpExecutionContext) -> None:
    """Extract the new rows and stage them."""
    run(context, "process")


@op(retry_policy=RETRIES, ins={"processed": In(Nothing)})
def load(context: OpExecutionContext) -> None:
    """Load what is staged into the raw tables."""
    run(context, "load")


@op(retry_policy=RETRIES, ins={"loaded": In(Nothing)})
def build(context: OpExecutionContext) -> None:
    """Build what the new rows change, and publish the marts."""
    run(context, "tasks", "run", "build")


@op(retry_policy=RETRIES, ins={"built": In(Nothing)})
def check(context: OpExecutionContext) -> None:
    """Compare source, raw tables and models."""
    run(context, "check")


@failure_hook
def alert(context: HookContext) -> None:
    """Post which step failed."""
    text = f"Adventure: {context.op.name} failed in the run {context.run_id}: {context.op_exception}"
    if url := os.environ.get("ADVENTURE_ALERTS"):
        request = urllib.request.Request(url, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()


# One step after the other, in one process. dagster.yaml allows one run at a time.
@job(hooks={alert}, executor_def=in_process_executor)
def adventure() -> None:
    """Move, model and check what is new."""
    check(build(load(process())))


defs = Definitions(jobs=[adventure], schedules=[ScheduleDefinition(job=adventure, cron_schedule="0 * * * *")])
