"""Send requests to one API: with a rate limit, retries and limits on time and size. No message holds a secret."""

import json
import re
import ssl
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from adventure.core import heartbeat
from adventure.core.clock import utc_now
from adventure.core.connect import BRIEF_SEC, RETRY_FOR_SEC
from adventure.core.errors import SourceError, SourceRefused, SourceShapeError, SourceUnavailable
from adventure.core.log import get_logger
from adventure.core.settings import Settings
from adventure.core.source_name import SourceName

LARGEST_ANSWER = 64 << 20
"""The most bytes of an answer, decompressed, because an answer is held in memory."""

REDIRECTS = 3
"""The most redirects of one request, all within the API's own host."""

LONGEST_WAIT = 3600.0
"""The longest time in seconds to wait because the API asks to."""

_ENCODINGS = ("", "identity", "gzip", "deflate")
"""A piece of these grows by a factor of 1,000 at most. Others, and two of them in turn, could fill the memory."""

_USUAL = SourceName("http", "the HTTP API", "API_", "API_")

_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
"""The name of a header."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0

log = get_logger()


class Throttled(SourceUnavailable):
    """The API asks to wait longer than a cycle may."""


class _TryAgain(Exception):
    """An answer that another attempt may improve. Internal to this module."""

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


class ApiClient:
    """A connection pool for one API.

    Args:
        retry_for: seconds for which one request is tried again; RETRY_FOR_SEC by default.
        brief: try once, and wait at most BRIEF_SEC for each part of an answer.

    Raises:
        SourceRefused: API_URL is not set.
    """

    def __init__(self, settings: Settings, *, retry_for: float | None = None, brief: bool = False) -> None:
        name = settings.own_source or _USUAL
        self._fix = name.fix
        if not settings.api_url:
            raise SourceRefused(
                self._fix("API_URL is not set, and a stream reads an HTTP API"),
                self._fix("Set API_URL to its address"),
            )
        self.base = httpx.URL(settings.api_url)
        self.where = f"{name} at {settings.api_url}"
        self._retry_for = 0.0 if brief else RETRY_FOR_SEC if retry_for is None else retry_for
        self._longest = settings.silence_sec
        self._stopped = threading.Event()
        self._not_before = self._next_at = 0.0
        headers = {"accept": "application/json", "accept-encoding": "gzip, deflate", "user-agent": "adventure"}
        if settings.api_token:
            headers["authorization"] = f"Bearer {settings.api_token.get_secret_value()}"
        if settings.api_headers:
            headers |= json.loads(settings.api_headers.get_secret_value())
        limit = BRIEF_SEC if brief else min(settings.silence_sec, 60.0)
        verify = ssl.create_default_context(cafile=settings.api_tls_ca_file) if settings.api_tls_ca_file else True
        try:
            self._http = httpx.Client(
                headers=headers, timeout=httpx.Timeout(limit, connect=min(limit, 5)), verify=verify
            )
        except (ValueError, TypeError):
            # The error may quote the header's value.
            raise _unsendable(name) from None
        # The error of a request would quote the value, too.
        for header, value in self._http.headers.items():
            if not (_NAME.fullmatch(header) and value.isprintable() and value == value.strip()):
                raise _unsendable(name)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def cancel(self) -> None:
        """End a request in another thread with an error; no request succeeds until `resume`."""
        self._stopped.set()

    def resume(self) -> None:
        """Allow requests again."""
        self._stopped.clear()

    def get(
        self, url: httpx.URL, validators: dict[str, str] | None = None, *, per_second: float | None = None
    ) -> Answer:
        """Return the answer to a request. It is tried again while the API fails or asks to wait.

        Args:
            validators: of an earlier answer; the answer has no body if nothing has changed since.
            per_second: the most requests a second.

        Raises:
            SourceUnavailable: the API does not answer, or not in JSON.
            SourceRefused: it refuses the token, or redirects to another host.
            SourceShapeError: there is no such endpoint.
            SourceError: any other error.
        """
        ends_at = time.monotonic() + self._retry_for
        pause = _FIRST_PAUSE
        while True:
            self._wait_for_turn(per_second)
            try:
                return self._attempt(url, validators or {})
            except _TryAgain as again:
                wait = pause if again.after is None else again.after
                if time.monotonic() + wait > ends_at:
                    if again.after is None:
                        raise again.error from again.__cause__
                    self._not_before = time.monotonic() + wait
                    raise Throttled(again.error.problem, f"Nothing; the next request waits for {wait:g} s") from None
                log.warning(f"{again.error} Trying again in {wait:g} s.")
            self._pause(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _wait_for_turn(self, per_second: float | None) -> None:
        now = time.monotonic()
        if now < self._not_before:
            wait = self._not_before - now
            raise Throttled(f"{self.where} asked to wait", f"Nothing; the next request waits for {wait:.0f} s")
        self._pause(self._next_at - now)
        self._next_at = time.monotonic() + (1 / per_second if per_second else 0.0)

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            heartbeat.beat(quiet_for=seconds)
        if self._stopped.wait(max(0.0, seconds)):
            raise SourceUnavailable(f"{self.where}: the request was cancelled")

    def _attempt(self, url: httpx.URL, validators: dict[str, str]) -> Answer:
        for _ in range(REDIRECTS + 1):
            self.check_host(url)
            target = f"{self.where} ({url.path})"
            try:
                with self._http.stream("GET", url, headers=validators) as response:
                    if not response.has_redirect_location:
                        return self._read(response, url, target, asked=bool(validators))
                    url = url.join(response.headers["location"])
            except httpx.TimeoutException as error:
                raise _TryAgain(
                    SourceUnavailable(f"{target} does not answer in time", "Check the API and the network")
                ) from error
            except httpx.HTTPError as error:
                if distrust := _distrust(error):
                    raise SourceRefused(
                        f"{self.where} cannot be trusted: {distrust}",
                        self._fix("Check API_TLS_CA_FILE, and that the certificate names this host"),
                    ) from error
                raise _TryAgain(
                    SourceUnavailable(
                        f"{target} does not answer: {error}", self._fix("Check that it runs, and API_URL")
                    )
                ) from error
            except httpx.InvalidURL as error:
                raise SourceShapeError(
                    f"{target} redirects to an address that is none", self._fix("Check API_URL")
                ) from error
        raise SourceError(
            f"{self.where} redirects more than {REDIRECTS} times",
            self._fix("Check API_URL and the stream's table"),
        )

    def check_host(self, url: httpx.URL) -> None:
        """Refuse an address on another host, which must not receive the token.

        Raises:
            SourceRefused: scheme, host or port are not those of API_URL.
        """
        if (url.scheme, url.host, _port(url)) != (self.base.scheme, self.base.host, _port(self.base)):
            raise SourceRefused(
                f"{self.where} leads to {url.scheme}://{url.host}, which is not that host",
                self._fix("Set API_URL to that address if it is the API's"),
            )

    def _read(self, response: httpx.Response, url: httpx.URL, target: str, *, asked: bool) -> Answer:
        """Return the answer if it is a success.

        Args:
            asked: whether the request asks for an answer only if it has changed.

        Raises:
            _TryAgain: the API fails, is busy, or its answer is not JSON.
        """
        status = response.status_code
        if status in (408, 425, 429) or status >= 500:
            said = f"{target} answers {status} {response.reason_phrase}".rstrip()
            raise _TryAgain(
                SourceUnavailable(said, "Check the API; set requests_per_second below its limit"),
                _retry_after(response),
            )
        if status in (401, 403, 407):
            raise SourceRefused(
                f"{target} refuses: {status}", self._fix("Check API_TOKEN and API_HEADERS, and their rights")
            )
        if status in (404, 410):
            raise SourceShapeError(
                f"{target}: there is no such endpoint ({status})", self._fix("Check API_URL and the stream")
            )
        if status == 304 and not asked:
            # To take it for an empty page would leave out this page and all after it.
            raise _TryAgain(
                SourceUnavailable(f"{target} answers 304 to a request without conditions", "Check any cache before it")
            )
        if status not in (200, 304):
            raise SourceError(f"{target} answers {status}", "Check the parameters in the stream's table api")
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in _ENCODINGS:
            raise SourceError(f"{target} answers in the encoding {encoding[:50]!r}", "Let it send gzip, or no encoding")
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if status == 200 and not (kind == "application/json" or kind.endswith("+json")):
            raise _TryAgain(
                SourceUnavailable(
                    f"{target} answers with {kind or 'no content type'} instead of JSON",
                    self._fix("Check API_URL"),
                )
            )
        link = response.links.get("next", {}).get("url")
        return Answer(
            url, None if status == 304 else self._body(response, target), _date(response), link, _validators(response)
        )

    def _body(self, response: httpx.Response, target: str) -> bytes:
        """Return the body, read in pieces, so that neither a slow nor an endless answer holds the stream."""
        body, ends_at = bytearray(), time.monotonic() + self._longest
        for piece in response.iter_bytes():
            body += piece
            if len(body) > LARGEST_ANSWER:
                raise SourceError(
                    f"{target}: an answer has more than {LARGEST_ANSWER >> 20} MB", "Set a smaller page_size"
                )
            if time.monotonic() > ends_at or self._stopped.is_set():
                raise _TryAgain(
                    SourceUnavailable(f"{target} did not finish its answer in time", "Set a smaller page_size")
                )
        return bytes(body)


def _unsendable(name: SourceName) -> SourceRefused:
    return SourceRefused(
        name.fix("A header of API_HEADERS or API_TOKEN cannot be sent"),
        "Use printable ASCII without line ends, or spaces around it",
    )


def _port(url: httpx.URL) -> int | None:
    return url.port or {"http": 80, "https": 443}.get(url.scheme)


def _distrust(error: BaseException | None) -> str:
    """Return why TLS does not trust the server; empty if that is not the cause."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return ""


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
