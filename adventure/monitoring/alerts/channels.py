"""Send a message to one of ALERT_URLS, through Apprise.

A URL may hold a token in any of its parts, and the log lines and errors of Apprise may quote it. So a channel is named
by its position and its scheme, and nothing else of it is ever logged or printed.
"""

import hashlib
import logging
import re
from dataclasses import dataclass, field
from typing import Any

from adventure.core.errors import ConfigError
from adventure.core.extras import naming_extra
from adventure.core.settings import Settings

_logger = logging.getLogger("apprise")


@dataclass(frozen=True)
class Channel:
    """One of ALERT_URLS."""

    name: str
    """Names it without its text."""
    digest: str
    """Identifies it from one run to the next."""
    _service: Any = field(repr=False)

    def send(self, title: str, body: str, level: str, *, html: bool = False) -> str | None:
        """Send a message.

        Args:
            level: `error`, `warning`, `ended`, `test` or `digest`.
            html: whether the body is HTML. A channel that shows none gets its text.

        Returns:
            Why it was not accepted; None if it was.
        """
        from apprise import NotifyFormat, NotifyType

        kind = {"error": NotifyType.FAILURE, "warning": NotifyType.WARNING, "ended": NotifyType.SUCCESS}
        lines = _Lines()
        _logger.addHandler(lines)
        try:
            accepted = self._service.notify(
                title=title,
                body=body,
                notify_type=kind.get(level, NotifyType.INFO),
                body_format=NotifyFormat.HTML if html else NotifyFormat.TEXT,
            )
        except Exception as error:  # noqa: BLE001 - its text may quote the URL
            return f"unexpected {type(error).__name__}"
        finally:
            _logger.removeHandler(lines)
        return None if accepted else lines.reason()


def open_channels(settings: Settings) -> tuple[Channel, ...]:
    """Return a channel for each of ALERT_URLS; nothing is sent yet.

    Raises:
        ConfigError: ALERT_URLS is not set, or Apprise is not installed, or does not know one of the URLs.
    """
    urls = settings.alert_urls.get_secret_value().split() if settings.alert_urls else []
    if not urls:
        raise ConfigError("ALERT_URLS is not set", "Set it to one or more URLs of Apprise, separated by spaces")
    with naming_extra("ALERT_URLS"):
        import apprise
    for logger in (_logger, logging.getLogger("urllib3")):
        # Without a handler of its own, Python would print its warnings on stderr.
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
    return tuple(_channel(apprise, place, url) for place, url in enumerate(urls, 1))


def outcome(channel: str, reason: str | None) -> str:
    """Return the line that a command prints of a channel: whether it accepted the message, or why not."""
    return f"{channel}: {f'not accepted: {reason}' if reason else 'accepted'}"


def _channel(apprise: Any, place: int, url: str) -> Channel:
    scheme = url.partition("://")[0] if "://" in url else "no scheme"
    service = apprise.Apprise.instantiate(url)
    if service is None:
        raise ConfigError(
            f"ALERT_URLS: URL {place} ({scheme if scheme.isalnum() and len(scheme) < 20 else 'no scheme'}) is none that"
            " Apprise can use",
            "Write it as https://appriseit.com/services/ shows, and separate URLs by spaces",
        )
    group = apprise.Apprise()
    group.add(service)
    return Channel(f"URL {place} ({scheme})", hashlib.sha256(url.encode()).hexdigest()[:16], group)


class _Lines(logging.Handler):
    """What Apprise logs of an attempt."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())

    def reason(self) -> str:
        """Return why the attempt failed, without a word of the URL."""
        text = " ".join(self._lines)
        if status := re.search(r"error=(\d{3})\b", text):
            return f"the service answered {status[1]}"
        return "the service cannot be reached" if "onnection" in text else "the service did not accept the message"
