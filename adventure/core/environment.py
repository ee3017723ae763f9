"""Read the settings from the environment and a file like `.env.example`."""

import os
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError

from adventure.core.errors import ConfigError
from adventure.core.settings import Settings
from adventure.core.validation import faults_by_name


def load_settings(env_file: Path | None = None, /, **overrides: Any) -> Settings:
    """Read the environment and, for variables that it lacks, `env_file` (default: `.env` if there is one).

    Args:
        overrides: fields by name, which override both; for tests and the demo.

    Raises:
        ConfigError: a value is malformed (all of them are named), or `env_file` does not exist.
    """
    if env_file is not None and not env_file.is_file():
        raise ConfigError(f"The settings file {env_file} does not exist", "Give --env a file like .env.example")
    try:
        settings = Settings(**(_given(env_file or Path(".env")) | overrides))
    except ValidationError as error:
        faults = "; ".join(
            f"{name.upper()}{fault}{'' if name in overrides else _origin(name, env_file)}"
            for name, fault in faults_by_name(error).items()
        )
        # No traceback may show the given values: one may be a secret.
        raise ConfigError(
            f"Settings that cannot be used: {faults}", "Fix them in the environment or the --env file"
        ) from None
    return settings.read_from(env_file or Path(".env"))


def _given(env_file: Path) -> dict[str, str]:
    """Return the given variables by field name."""
    variables = given_variables(env_file)
    return {name.lower(): value for name, value in variables.items() if name.lower() in Settings.model_fields}


def given_variables(env_file: Path) -> dict[str, str]:
    """Return all variables, with names in upper case. The environment precedes the file.

    An empty variable counts as not given.
    """
    found: dict[str, str] = {}
    for variables in (dotenv_values(env_file, encoding="utf-8"), os.environ):
        found |= {name.upper(): value for name, value in variables.items() if value}
    return found


def _origin(name: str, env_file: Path | None) -> str:
    """Return where the value of a setting was read, as the end of a sentence. An empty variable counts as not set."""
    in_environment = any(value and variable.upper() == name.upper() for variable, value in os.environ.items())
    return " (from the environment)" if in_environment else f" (from {env_file or '.env'})"
