"""One line per event: readable text, or JSON with LOG_FORMAT=json.

The event is a whole sentence, `stream: what happened`; its figures are given as fields as well, which the text form
leaves out and the JSON form keeps.
"""

import logging
import sys
from typing import Any, Literal

import structlog

_as_json = False


def configure(log_format: Literal["text", "json"]) -> None:
    """Sends log lines to stderr in that form. Commands call it once."""
    global _as_json
    _as_json = log_format == "json"
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
    """The logger: `log.info("orders: 200 new rows", stream="orders", rows=200)`."""
    return structlog.get_logger()


def log_fatal(sentence: str) -> bool:
    """Logs why a command ends, if its lines are JSON: whoever collects them cannot read anything else."""
    if _as_json:
        get_logger().error(sentence)
    return _as_json


def _sentence(_logger: object, _method: str, event: dict[str, Any]) -> str:
    level = "" if event["level"] == "info" else f"{event['level'].upper()} "
    trace = f"\n{event['exception']}" if "exception" in event else ""
    return f"{event['timestamp']} {level}{event['event']}{trace}"
