"""One line per event: readable text, or JSON with LOG_FORMAT=json.

The event is a whole sentence, `stream: what happened`. Its numbers are fields as well, which only the JSON form prints.
"""

import logging
import sys
from typing import Any, Literal

import structlog


def configure(log_format: Literal["text", "json"]) -> None:
    """Send log lines to stderr in that form. Commands call it once."""
    render: Any = structlog.processors.JSONRenderer() if log_format == "json" else _sentence
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(
                fmt="iso" if log_format == "json" else "%H:%M:%S", utc=log_format == "json"
            ),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get_logger() -> Any:
    """Return the logger: `log.info("orders: 200 new rows", stream="orders", rows=200)`."""
    return structlog.get_logger()


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
    level = "" if event["level"] == "info" else f"{event['level'].upper()} "
    trace = f"\n{event['exception']}" if "exception" in event else ""
    return f"{event['timestamp']} {level}{event['event']}{trace}"
