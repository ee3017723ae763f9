"""One line per event: readable text, or JSON with LOG_FORMAT=json.

The event is a whole sentence, `stream: what happened`. Its numbers are fields as well, which only the JSON form prints.
"""

import logging
import os
import sys
from typing import Any, Literal, TextIO

from adventure.core.left_out import without

with without("rich"):  # for tracebacks, which the renderers here write as plain text
    import structlog

_LEVELS = {"quiet": logging.WARNING, "normal": logging.INFO, "verbose": logging.DEBUG}
_COLOURS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_END = "\x1b[0m"


def configure(log_format: Literal["text", "json"], level: Literal["quiet", "normal", "verbose"] = "normal") -> None:
    """Send log lines to stderr in that form. Commands call it once.

    Args:
        level: `quiet` shows warnings and errors only, `verbose` shows debug lines, too.
    """
    text = _coloured_sentence if has_colour(sys.stderr) else _sentence
    render: Any = structlog.processors.JSONRenderer() if log_format == "json" else text
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(
                fmt="iso" if log_format == "json" else "%H:%M:%S", utc=log_format == "json"
            ),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get_logger() -> Any:
    """Return the logger: `log.info("orders: 200 new rows", stream="orders", rows=200)`."""
    return structlog.get_logger()


def has_colour(stream: TextIO) -> bool:
    """Return whether to write colours there: to a terminal, unless NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def log_fatal(sentence: str) -> bool:
    """Log why a command fails, if the log is JSON: a collector of JSON lines reads nothing else on stderr.

    Returns:
        Whether it was logged.
    """
    is_json = isinstance(structlog.get_config()["processors"][-1], structlog.processors.JSONRenderer)
    if is_json:
        get_logger().error(sentence)
    return is_json


def _sentence(_logger: object, _method: str, event: dict[str, Any]) -> str:
    return _line(event, _level(event))


def _coloured_sentence(_logger: object, _method: str, event: dict[str, Any]) -> str:
    level, colour = _level(event), _COLOURS.get(event["level"])
    return _line(event, f"{colour}{level}{_END}" if colour else level)


def _level(event: dict[str, Any]) -> str:
    return "" if event["level"] == "info" else f"{event['level'].upper()} "


def _line(event: dict[str, Any], level: str) -> str:
    trace = f"\n{event['exception']}" if "exception" in event else ""
    return f"{event['timestamp']} {level}{event['event']}{trace}"
