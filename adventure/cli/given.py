"""What the shared options say, and the settings and streams that they lead to. It imports no Typer."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from adventure.core.settings import Settings
    from adventure.core.streams import Stream

Level = Literal["quiet", "normal", "verbose"]


@dataclass(frozen=True)
class General:
    """The values of the shared options."""

    env: Path | None = None
    """The settings file; None for `.env`."""
    level: Level = "normal"
    """Which log lines are shown."""


def load_given_settings(general: General) -> "Settings":
    """Load the settings from the environment and the file of `--env`, and configure the log."""
    from adventure.core import foreign_settings, log
    from adventure.core.environment import load_settings
    from adventure.core.named_sources import source_variables

    settings = load_settings(general.env)
    log.configure(settings.log_format, general.level)
    log.get_logger().debug(f"settings: read {general.env or '.env'} and the environment; data in {settings.data_dir}")
    for warning in foreign_settings.find_warnings(general.env, settings.warehouse, source_variables(settings)):
        log.get_logger().warning(warning)
    return settings


def _names_databases() -> bool:
    """Return whether the environment says where something is."""
    return any(name in os.environ for name in ("POSTGRES_HOST", "MONGO_HOST", "MONGO_URI", "STATE_DSN", "DATA_DIR"))


def load_given_pipeline(general: General) -> "tuple[Settings, tuple[Stream, ...]]":
    """Load the settings, and the streams of PIPELINE_FILE."""
    from adventure.core.log import get_logger
    from adventure.core.packaged import is_packaged
    from adventure.core.pipeline_file import load_streams

    settings = load_given_settings(general)
    if not general.env and not Path(".env").exists() and not _names_databases():
        get_logger().warning(f"settings: there is no .env in {Path.cwd()}, so databases and folders are the defaults")
    streams = load_streams(settings)
    listed = f"streams: {', '.join(stream.name for stream in streams)}"
    if is_packaged(settings.pipeline_file):
        get_logger().info(f"{listed}: those of the demo, because there is no pipeline.toml in this folder")
    else:
        get_logger().debug(f"{listed}, from {settings.pipeline_file}")
    return settings, streams
