"""A real HTTP server with records in memory, which answers in the styles of different APIs, and fails on demand."""

import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import uvicorn
from starlette.requests import Request
from starlette.responses import Response

from adventure.core.clock import utc_now

Fault = Callable[[Request], Response | None]
"""Called before the answer to one request; what it returns is sent instead of the answer."""


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds") + "Z"


def _place(record: dict[str, Any]) -> str:
    """Return the text by which records are sorted."""
    return str(record["meta"].get("changed", "")) + record["id"]


def answer(body: bytes, status: int = 200, kind: str = "application/json", **headers: str) -> Fault:
    """Return a fault that sends this answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Response(body, status, named, kind)


class Cut(Response):
    """An answer whose body ends before its length, as when a proxy or a server dies."""

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        length = str(2 * len(self.body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(self.body)})


@dataclass
class Api:
    """The records, how they are served, and which requests came."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    style: str = "next"
    page_size: int = 3
    inclusive: bool = True
    """Whether `since` includes records with that cursor."""
    whole_seconds: bool = False
    """Whether `since` is compared in whole seconds."""
    clock_step: timedelta = timedelta(0)
    """How far the server's clock is ahead."""
    validator: str = ""
    """The header by which a request may ask whether an answer has changed: `etag` or `last-modified`."""
    faults: list[Fault | None] = field(default_factory=list)
    """What happens in the next requests, one by one; None answers."""
    always: Fault | None = None
    """What happens in every request."""
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while a record is written, which no request sees half."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1"

    def put(self, key: str, at: datetime, **members: Any) -> None:
        """Write a record, in its latest version."""
        with self._lock:
            self.records.pop(key, None)
            self.records[key] = {"id": key, "meta": {"changed": iso(at)}, **members}

    def put_many(self, count: int, at: datetime, first: int = 0) -> None:
        for number in range(first, first + count):
            self.put(f"r{number:03d}", at + timedelta(seconds=number), stars=number % 5 + 1)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)
        self.requests.append(request)
        fault = self.faults.pop(0) if self.faults else self.always
        response = (fault(request) if fault else None) or self._answer(request)
        response.headers["date"] = format_datetime((utc_now() + self.clock_step).replace(tzinfo=UTC), usegmt=True)
        await response(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        asked = request.query_params
        if request.url.path != "/v1/shop/reviews":
            return Response(b"{}", 404, media_type="application/json")
        with self._lock:
            found = sorted(self.records.values(), key=_place)
        if since := asked.get("since"):
            found = [each for each in found if self._is_since(each["meta"]["changed"], since)]
        begin, after = 0, asked.get("after", "")
        size = min(self.page_size, int(asked.get("limit", self.page_size)))
        if self.style == "number":
            begin = (int(asked["page"]) - 1) * size
        elif self.style == "offset":
            begin = int(asked["page"])
        elif after:
            found = [each for each in found if _place(each) > after]
        page = found[begin : begin + size] if self.style != "none" else found
        more = len(found) > begin + size and self.style not in ("none", "number", "offset")
        body: dict[str, Any] = {"total": len(self.records), "data": {"items": page}}
        headers = {}
        if more:
            last = _place(page[-1])
            following = request.url.include_query_params(after=last)
            if self.style == "token":
                body["paging"] = {"next": last}
            elif self.style == "next":
                body["paging"] = {"next": f"{following.path}?{following.query}"}
            else:
                headers["link"] = f'<{following}>; rel="next"'
        text = orjson.dumps(body)
        if self.validator:
            named = {"etag": "if-none-match", "last-modified": "if-modified-since"}[self.validator]
            newest = max((each["meta"]["changed"] for each in self.records.values()), default="")
            headers[self.validator] = f'"{hash(text)}"' if self.validator == "etag" else newest
            if request.headers.get(named) == headers[self.validator]:
                return Response(status_code=304, headers=headers)
        return Response(text, 200, headers, "application/json")

    def _is_since(self, changed: str, since: str) -> bool:
        if self.whole_seconds:
            changed, since = changed[:19], since[:19]
        else:
            # Compare times, not texts: one has fractions and the other has not.
            since = iso(datetime.fromisoformat(since).replace(tzinfo=None))
        return changed >= since if self.inclusive else changed > since

    @contextmanager
    def running(self, certificate: str | None = None) -> Iterator["Api"]:
        """Serve in a thread until the block ends."""
        config = uvicorn.Config(
            self,
            port=0,
            log_level="critical",
            lifespan="off",
            date_header=False,
            ssl_certfile=certificate,
            ssl_keyfile=certificate,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        self.port = server.servers[0].sockets[0].getsockname()[1]
        self.scheme = "https" if certificate else "http"
        try:
            yield self
        finally:
            server.should_exit = server.force_exit = True
            thread.join()
