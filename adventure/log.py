"""One line per event: readable text, or JSON with LOG_FORMAT=json.

The event is a whole sentence, `stream: what happened`; its figures are given as fields as well, which the text form
leaves out and the JSON form keeps.

The standard library's logging, and nothing above it: structlog would bring rich, and with it a tenth of the time in
which a command starts.
"""

import json
import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal

_logger = logging.getLogger("adventure")


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """Takes an event's fields as keywords."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {"extra": {"fields": kwargs}}


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        return f"{self.formatTime(record, '%H:%M:%S')} {level}{record.getMessage()}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        event = {"event": record.getMessage(), "level": record.levelname.lower(), "timestamp": f"{moment}Z"}
        return json.dumps(getattr(record, "fields", {}) | event, default=str)


def configure(log_format: Literal["text", "json"]) -> None:
    """Sends log lines to stderr in that form. Commands call it once."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    _logger.handlers = [handler]
    _logger.setLevel(logging.INFO)
    # A library that logs to stderr as well would bring each line twice.
    _logger.propagate = False


def get_logger() -> _Logger:
    """The logger: `log.info("orders: 200 new rows", stream="orders", rows=200)`."""
    return _Logger(_logger)


def last_words(sentence: str) -> bool:
    """Logs why a command ends, if its lines are JSON: whoever collects them cannot read anything else."""
    as_json = any(isinstance(handler.formatter, _Json) for handler in _logger.handlers)
    if as_json:
        get_logger().error(sentence)
    return as_json
