"""Read an endpoint page by page."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from adventure.core import heartbeat
from adventure.core.clock import earlier
from adventure.core.errors import SourceError, SourceShapeError, SourceUnavailable
from adventure.core.streams import Stream
from adventure.core.watermark import Origin
from adventure.sources.http.answer import Answer
from adventure.sources.http.client import ApiClient
from adventure.sources.http.records import parse, value_at
from adventure.sources.prefetch import prefetch

PREFETCHED_PAGES = 1
"""Only one, because a page may have up to `answer_mb` megabytes."""

PASSES = 5
"""How often counted pages are read while records move between them."""

_EARLIER = timedelta(seconds=1)
"""So far below the wanted cursor every request begins: some APIs leave out the cursor itself, or compare seconds."""

_ATTEMPTS_TO_PARSE = 3


@dataclass(frozen=True)
class Validators:
    """How to ask whether a range that fits one page has changed."""

    url: httpx.URL
    headers: dict[str, str]


@dataclass(frozen=True)
class Page:
    """One page of records."""

    records: list[Any]
    date: datetime
    """The server's clock when it answered; naive UTC."""
    lines: list[bytes] | None = None
    """The records as the API wrote them; None if its numbers or spaces need a conversion."""
    validators: Validators | None = None
    """None if the page is not the only one, or the API gives none."""
    unchanged: bool = False
    """True if the API says that the one page has not changed. It is then the only page, without records."""

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.records)


@dataclass
class Endpoint:
    """The endpoint of one stream."""

    client: ApiClient
    stream: Stream
    _url: httpx.URL = field(init=False)

    def __post_init__(self) -> None:
        base = self.client.base
        place = "/".join(part.strip("/") for part in (self.stream.namespace, self.stream.table) if part.strip("/"))
        self._url = base.copy_with(path=f"{base.path.rstrip('/')}/{place}")

    @property
    def origin(self) -> Origin:
        """The API as the origin of a watermark. Its scheme and port may change."""
        return Origin(f"API {self.client.base.host}{self.client.base.path.rstrip('/')}")

    @property
    def is_counted(self) -> bool:
        """Whether pages are counted. A record that changes or is deleted then moves others to other pages."""
        return self.stream.api.pages in ("number", "offset")

    def read_until_still(
        self, pages: Callable[[], Iterable[Page]], take: Callable[[Page], None], found: Callable[[], int]
    ) -> None:
        """Read all pages; where they are counted, again until a pass finds no record that was not read before.

        Args:
            pages: returns all pages, for one pass.
            take: called with each page.
            found: returns how many different records were read so far.

        Raises:
            SourceUnavailable: PASSES passes each found other records.
        """
        for number in range(PASSES):
            before = found()
            read = 0
            for page in pages():
                heartbeat.beat()
                take(page)
                read += 1
            if not self.is_counted or read == 1 or (number and found() == before):
                return
        raise SourceUnavailable(
            f"{self.stream.name}: records moved between the pages of {self.client.where} in each of {PASSES} passes",
            'Set pages to "link", "next" or "token" if the API can, or order by a member that does not change',
        )

    def total(self) -> int | None:
        """Return the number of all records if the API tells it, else None."""
        path = self.stream.api.total
        if not path:
            return None
        _, value, _ = self._answer(self._first(None), None)
        total = value_at(value, path)
        if not isinstance(total, int):
            raise SourceShapeError(
                f"{self.stream.name}: an answer of {self.client.where} has no number at {path}",
                "Set total in the stream's table api to the path of the number of all records, or remove it",
            )
        return total

    def records(self, low: datetime | None) -> Iterator[Any]:
        """Yield the records whose cursor may be `low` or above; without `low`, all of them."""
        for page in self.pages(low):
            yield from page.records

    def pages(self, low: datetime | None, known: Validators | None = None) -> Iterator[Page]:
        """Yield the pages of the records whose cursor may be `low` or above. The next page is read ahead.

        Args:
            known: validators of an earlier answer, to ask whether it has changed.

        Raises:
            SourceError: the API failed, or its answer does not match the stream's table `api`.
        """
        try:
            with prefetch(self._pages(low, known), self.client.cancel, depth=PREFETCHED_PAGES) as pages:
                yield from pages
        finally:
            self.client.resume()

    def _pages(self, low: datetime | None, known: Validators | None) -> Iterator[Page]:
        url: httpx.URL | None = self._first(low)
        asked = known.headers if known and known.url == url else None
        visited: set[int] = set()
        read, number, repeated = 0, 0, 0
        before = 0
        while url is not None:
            if hash(str(url)) in visited:
                raise SourceShapeError(
                    f"{self.stream.name}: page {number} of {self.client.where} leads back to an earlier page",
                    "Check pages and next in the stream's table api",
                )
            visited.add(hash(str(url)))
            answer, value, lines = self._answer(url, asked if number == 0 else None)
            if answer.body is None:
                yield Page([], answer.date, validators=known, unchanged=True)
                return
            records = self._records(value)
            # A page may come twice if as many records were inserted before it as it holds.
            page = _fingerprint(records, lines)
            repeated = repeated + 1 if records and page == before else 0
            if repeated == 2:
                raise SourceShapeError(
                    f"{self.stream.name}: {self.client.where} answers with the same page again",
                    f"Check pages and page ({self.stream.api.page}) in the stream's table api",
                )
            before, read, number = page, read + len(records), number + 1
            following = self._following(url, answer, value, len(records), read, number)
            only = number == 1 and following is None and answer.validators
            yield Page(records, answer.date, lines, Validators(url, answer.validators) if only else None)
            url = following

    def _first(self, low: datetime | None) -> httpx.URL:
        api = self.stream.api
        parameters = dict(api.parameters)
        if api.size:
            parameters[api.size] = str(api.page_size)
        if api.since and low is not None:
            parameters[api.since] = _time_text(earlier(low, _EARLIER), api.time)
        if api.pages == "number":
            parameters[api.page] = str(api.first_page)
        if api.pages == "offset":
            parameters[api.page] = "0"
        return self._url.copy_merge_params(parameters)

    def _answer(self, url: httpx.URL, asked: dict[str, str] | None) -> tuple[Answer, Any, list[bytes] | None]:
        """Return the answer, its JSON, and the text of each record; see `parse`.

        A body that was cut, which not every server's headers show, is read again.
        """
        api = self.stream.api
        for attempt in range(1, _ATTEMPTS_TO_PARSE + 1):
            answer = self.client.get(url, asked, per_second=api.requests_per_second, megabytes=api.answer_mb)
            try:
                if answer.body is None:
                    return answer, None, None
                # Let go of the text, which would be held until the next page is read.
                return replace(answer, body=b""), *parse(answer.body, api.records)
            except RecursionError as error:
                raise SourceError(
                    f"{self.stream.name}: an answer of {self.client.where} is nested too deeply",
                    "Leave such records out",
                ) from error
            except ValueError as error:
                if attempt == _ATTEMPTS_TO_PARSE:
                    raise SourceUnavailable(
                        f"{self.stream.name}: {self.client.where} answers with a text that is not JSON, or was cut",
                        "Check the API, and any proxy before it",
                    ) from error
        raise AssertionError("unreachable")

    def _records(self, value: Any) -> list[Any]:
        path = self.stream.api.records
        records = value_at(value, path) if path else value
        if not isinstance(records, list):
            found = f"no list at {path}" if path else "no list of records"
            raise SourceShapeError(
                f"{self.stream.name}: an answer of {self.client.where} has {found}",
                "Set records in the stream's table api to the path of the list",
            )
        return records

    def _following(
        self, url: httpx.URL, answer: Answer, value: Any, records: int, read: int, number: int
    ) -> httpx.URL | None:
        """Return the address of the next page; None after the last page.

        Where pages are counted, only an empty page is the last: an API may return fewer records than it was asked for.
        """
        api = self.stream.api
        if api.pages == "number":
            return url.copy_set_param(api.page, str(api.first_page + number)) if records else None
        if api.pages == "offset":
            return url.copy_set_param(api.page, str(read)) if records else None
        found = answer.link if api.pages == "link" else value_at(value, api.next) if api.next else None
        if api.pages == "none" or found is None or found == "":
            return None
        if not isinstance(found, str | int):
            raise SourceShapeError(
                f"{self.stream.name}: the next page at {api.next} is neither text nor a number",
                "Set next in the stream's table api to the path of a URL or a token",
            )
        try:
            if api.pages == "token":
                return url.copy_set_param(api.page, str(found))
            following = url.join(str(found))
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise SourceShapeError(f"{self.stream.name}: the next page is no address", "Check next") from error
        self.client.check_host(following)
        return following


def _fingerprint(records: list[Any], lines: list[bytes] | None) -> int:
    """Return a hash of a page's records, which takes no memory while the next page is read."""
    return hash(tuple(lines)) if lines else hash(str(records))


def _time_text(moment: datetime, form: str) -> str:
    """Return a time as a parameter, rounded down to whole seconds, which every API reads."""
    moment = moment.replace(microsecond=0)
    if form == "iso":
        return moment.isoformat() + "Z"
    seconds = int(moment.replace(tzinfo=UTC).timestamp())
    return str(seconds if form == "seconds" else 1000 * seconds)
