"""Judge one response of an API, and read its body within limits of size and time."""

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from adventure.core.clock import utc_now
from adventure.core.errors import SourceError, SourceRefused, SourceShapeError, SourceUnavailable
from adventure.sources.http.body import ENCODINGS, pieces

LONGEST_WAIT = 3600.0
"""The longest time in seconds to wait because the API asks to."""


class TryAgain(Exception):
    """An answer that another attempt may improve. It does not leave this package."""

    def __init__(self, error: SourceUnavailable, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.after = error, after


@dataclass(frozen=True)
class Answer:
    """One answer of the API."""

    url: httpx.URL
    body: bytes | None
    """None if nothing has changed since the answer that the request named."""
    date: datetime
    """The server's clock, to the second; naive UTC. This machine's clock where the server does not tell."""
    link: str | None
    """The address of the next page in the Link header."""
    validators: dict[str, str]
    """Headers of a later request that asks whether the answer has changed."""


@dataclass(frozen=True)
class Limits:
    """How much of a body is read."""

    megabytes: int
    """The most of one answer, decompressed, because an answer is held in memory."""
    seconds: float
    is_stopped: Callable[[], bool]
    """Whether the request was cancelled."""


def read_answer(
    response: httpx.Response, url: httpx.URL, target: str, fix: Callable[[str], str], limits: Limits, *, asked: bool
) -> Answer:
    """Return the answer if it is a success.

    Args:
        target: what was asked, for messages.
        fix: names the settings of this source in a remedy.
        asked: whether the request asks for an answer only if it has changed.

    Raises:
        TryAgain: the API fails, is busy, or its answer is not JSON.
        SourceRefused: it refuses the token.
        SourceShapeError: there is no such endpoint.
        SourceError: any other answer that is no success, or a body above the limits.
    """
    _check_status(response, target, fix, asked=asked)
    _check_form(response, target, fix)
    body = None if response.status_code == 304 else _body(response, target, limits)
    return Answer(url, body, _date(response), response.links.get("next", {}).get("url"), _validators(response))


def _check_status(response: httpx.Response, target: str, fix: Callable[[str], str], *, asked: bool) -> None:
    status = response.status_code
    if status in (408, 425, 429) or status >= 500:
        said = f"{target} answers {status} {response.reason_phrase}".rstrip()
        raise TryAgain(
            SourceUnavailable(said, "Check the API; set requests_per_second below its limit"), _retry_after(response)
        )
    if status in (401, 403, 407):
        raise SourceRefused(f"{target} refuses: {status}", fix("Check API_TOKEN and API_HEADERS, and their rights"))
    if status in (404, 410):
        raise SourceShapeError(f"{target}: there is no such endpoint ({status})", fix("Check API_URL and the stream"))
    if status == 304 and not asked:
        # To take it for an empty page would leave out this page and all after it.
        raise TryAgain(
            SourceUnavailable(f"{target} answers 304 to a request without conditions", "Check any cache before it")
        )
    if status not in (200, 304):
        raise SourceError(f"{target} answers {status}", "Check the parameters in the stream's table api")


def _check_form(response: httpx.Response, target: str, fix: Callable[[str], str]) -> None:
    encoding = _encoding(response)
    if encoding not in ENCODINGS:
        # Others, and two of them in turn, could fill the memory.
        raise SourceError(f"{target} answers in the encoding {encoding[:50]!r}", "Let it send gzip, or no encoding")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code == 200 and not (kind == "application/json" or kind.endswith("+json")):
        raise TryAgain(
            SourceUnavailable(
                f"{target} answers with {kind or 'no content type'} instead of JSON", fix("Check API_URL")
            )
        )


def _encoding(response: httpx.Response) -> str:
    return str(response.headers.get("content-encoding", "")).strip().lower()


def _body(response: httpx.Response, target: str, limits: Limits) -> bytes:
    """Return the body, read in pieces, so that neither a slow nor an endless answer holds the stream."""
    # Not a list of the pieces: they may be as small as a byte, and would take a hundred times their size.
    body, ends_at = bytearray(), time.monotonic() + limits.seconds
    try:
        for piece in pieces(response, _encoding(response)):
            body += piece
            if len(body) > limits.megabytes << 20:
                raise SourceError(
                    f"{target}: an answer has more than {limits.megabytes} MB",
                    "Set a smaller page_size in the stream's table api, or a larger answer_mb",
                )
            if time.monotonic() > ends_at or limits.is_stopped():
                raise TryAgain(
                    SourceUnavailable(f"{target} did not finish its answer in time", "Set a smaller page_size")
                )
    except zlib.error as error:
        raise TryAgain(
            SourceUnavailable(f"{target} answers with a body that cannot be decompressed: {error}", "Check the API")
        ) from error
    return bytes(body)


def _date(response: httpx.Response) -> datetime:
    return _http_date(response.headers.get("date", "")) or utc_now()


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that the API asks to wait, from a number or a date; None if it does not ask."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(LONGEST_WAIT, float(text))
    until = _http_date(text)
    return None if until is None else min(LONGEST_WAIT, max(0.0, (until - _date(response)) / timedelta(seconds=1)))


def _validators(response: httpx.Response) -> dict[str, str]:
    headers: Any = response.headers
    asked = {"etag": "if-none-match", "last-modified": "if-modified-since"}
    return {name: headers[given] for given, name in asked.items() if given in headers}
