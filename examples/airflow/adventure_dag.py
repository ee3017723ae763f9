"""The pipeline as a DAG of Airflow 3: fetch and land → load → build → check, hourly, with retries and alerts.

Airflow and Adventure need other versions of the same packages, so each has an environment of its own, and a task runs
Adventure's command. Every command may be repeated: it continues where the last run stopped, and no row is loaded twice.

    ADVENTURE           the command, such as /opt/adventure/bin/adventure
    ADVENTURE_PROJECT   the folder with .env and, if they are your own, pipeline.toml and dbt
    ADVENTURE_ALERTS    optional: a webhook that takes {"text": …} as Slack's do, called when a task has failed for good
"""

import json
import os
import urllib.request
from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

ADVENTURE = os.environ.get("ADVENTURE", "adventure")
PROJECT = os.environ.get("ADVENTURE_PROJECT", ".")


def alert(context):
    """Post which task failed, and where its log is."""
    task = context["task_instance"]
    text = f"Adventure: {task.task_id} failed in the run {context['run_id']}. Its log: {task.log_url}"
    if url := os.environ.get("ADVENTURE_ALERTS"):
        request = urllib.request.Request(url, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()


with DAG(
    "adventure",
    schedule="@hourly",
    start_date=datetime(2025, 1, 1),
    # One run moves everything that is new, so missed hours need no runs of their own.
    catchup=False,
    # One process at a time may write to the warehouse.
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=int(os.environ.get("ADVENTURE_RETRY_SEC", "60"))),
        "retry_exponential_backoff": True,
        "execution_timeout": timedelta(minutes=30),
        "on_failure_callback": alert,
    },
):

    def adventure(name, command):
        """Return a task that runs the command in the project's folder."""
        return BashOperator(
            task_id=name,
            bash_command=f'"{ADVENTURE}" {command}',
            cwd=PROJECT,
            # One cycle, also where .env asks for a long-lived processor.
            env={"PROCESSOR_INTERVAL_SEC": "0"},
            append_env=True,
        )

    # Fetches what is new from the databases and the API of the reviews, and lands it on the stages. It is one task:
    # one process reads a window, stages its files and window.json, and then moves the watermark, under one lock.
    # Between two tasks there would be fetched files that no watermark covers, on the disk of one worker. A retry of the
    # second task on another worker would not find them, and a retry of the first would fetch them again.
    fetch_and_land = adventure("fetch_and_land", "process")
    load = adventure("load", "load")
    # Builds what the new rows change, and publishes the marts.
    build = adventure("build", "tasks run build")
    check = adventure("check", "check")
    fetch_and_land >> load >> build >> check
