"""The command `process` and long-lived jobs. It imports no Typer: see `adventure.cli`."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from adventure.cli.ending import ExitAtOnce
from adventure.cli.garbage import collect_as_usual
from adventure.cli.given import General, load_given_pipeline
from adventure.core.left_out import UNUSED, leave_out

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from adventure.core.settings import Settings


def process(general: General) -> None:
    """Extract and stage new rows: one cycle, or one every PROCESSOR_INTERVAL_SEC.

    Raises:
        ExitAtOnce: the one cycle has ended, and everything is closed.
    """
    prepare_imports()
    from adventure.processor.run import process_forever, process_once

    settings, streams = load_given_pipeline(general)
    if settings.cycle_interval_sec == 0:
        process_once(settings, streams)
        raise ExitAtOnce(0)
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


def prepare_imports() -> None:
    """Leave out packages that the processor has no use for, and choose Arrow's allocator, before Arrow is imported."""
    leave_out(*UNUSED)
    # A processor that keeps running holds 7 MB less than with Arrow's own allocator, which keeps larger pieces.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def run_long_lived(
    settings: "Settings", job: "Callable[[threading.Event], Any]", *, heartbeat_file: "Path | None" = None
) -> None:
    """Run a long-lived job until SIGTERM or Ctrl-C. Its heartbeat goes to HEARTBEAT_FILE, else to `heartbeat_file`."""
    from adventure.core import heartbeat
    from adventure.core.log import get_logger
    from adventure.core.stopping import run_until_stopped

    def logged(stop: "threading.Event") -> None:
        job(stop)
        if stop.is_set():
            get_logger().info("Stopped.")

    collect_as_usual()
    heartbeat.begin(settings.heartbeat_file or heartbeat_file, settings.stuck_after_sec)
    run_until_stopped(logged)
    heartbeat.end()
