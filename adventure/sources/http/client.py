"""Send requests to one API: with a rate limit, retries and limits on time and size. No message holds a secret."""

import json
import re
import ssl
import threading
import time

import httpx

from adventure.core import heartbeat
from adventure.core.connect import BRIEF_SEC, RETRY_FOR_SEC
from adventure.core.errors import SourceError, SourceRefused, SourceShapeError, SourceUnavailable
from adventure.core.log import get_logger
from adventure.core.settings import Settings
from adventure.core.source_name import SourceName
from adventure.sources.http.answer import Answer, Limits, TryAgain, read_answer

REDIRECTS = 3
"""The most redirects of one request, all within the API's own host."""

_USUAL = SourceName("http", "the HTTP API", "API_", "API_")

_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
"""The name of a header."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0

log = get_logger()


class Throttled(SourceUnavailable):
    """The API asks to wait longer than a cycle may."""


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
        self,
        url: httpx.URL,
        validators: dict[str, str] | None = None,
        *,
        per_second: float | None = None,
        megabytes: int,
    ) -> Answer:
        """Return the answer to a request. It is tried again while the API fails or asks to wait.

        Args:
            validators: of an earlier answer; the answer has no body if nothing has changed since.
            per_second: the most requests a second.
            megabytes: the most of the answer's body.

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
                return self._attempt(url, validators or {}, megabytes)
            except TryAgain as again:
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

    def _attempt(self, url: httpx.URL, validators: dict[str, str], megabytes: int) -> Answer:
        limits = Limits(megabytes, self._longest, self._stopped.is_set)
        for _ in range(REDIRECTS + 1):
            self.check_host(url)
            target = f"{self.where} ({url.path})"
            try:
                with self._http.stream("GET", url, headers=validators) as response:
                    if not response.has_redirect_location:
                        return read_answer(response, url, target, self._fix, limits, asked=bool(validators))
                    url = url.join(response.headers["location"])
            except httpx.TimeoutException as error:
                raise TryAgain(
                    SourceUnavailable(f"{target} does not answer in time", "Check the API and the network")
                ) from error
            except httpx.HTTPError as error:
                if distrust := _distrust(error):
                    raise SourceRefused(
                        f"{self.where} cannot be trusted: {distrust}",
                        self._fix("Check API_TLS_CA_FILE, and that the certificate names this host"),
                    ) from error
                raise TryAgain(
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
