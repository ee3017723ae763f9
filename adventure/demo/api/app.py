"""The shop's API as an ASGI application: `GET /v1/reviews`.

Parameters: `since` (a time; reviews that changed then or later), `limit` (reviews in a page), and `after` (the place
where the next page begins, as the member `next` names it). Pages are in the order of `updated_at`, so a review that
changes while someone reads moves to the end, and none is left out. The first page of all reviews tells their number.
"""

import hashlib
import secrets
import time
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import dict_row
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adventure.core.settings import Settings
from adventure.demo.api.faults import Faults

PATH = "/v1/reviews"
LARGEST_PAGE, USUAL_PAGE = 1000, 100

_CONNECT_SEC = 3
_FIRST = UUID(int=0)
_PAGE = """
select review_id as id, product_id, customer_id, sales_order_id as order_id, rating, title, body as text,
    verified_purchase, helpful_votes, status, created_at, edited_at, updated_at
from reviews_api.reviews
where (updated_at, review_id) > (%(at)s::timestamp, %(id)s)
order by updated_at, review_id
limit %(limit)s
"""
_TOTAL = "select count(*) as total from reviews_api.reviews"
_FORM = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


def reviews_app(settings: Settings, faults: Faults | None = None) -> Starlette:
    """Return the application. It asks for API_TOKEN if that is set."""
    token = settings.api_token.get_secret_value() if settings.api_token else ""

    def reviews(request: Request) -> Response:
        # The server would write a time that is seconds old when this machine is busy: readers go by it.
        answered = formatdate(usegmt=True)
        response = answer(request)
        response.headers["date"] = answered
        return response

    def answer(request: Request) -> Response:
        if token and not secrets.compare_digest(request.headers.get("authorization", ""), f"Bearer {token}"):
            return _answer({"error": "a token is needed"}, 401)
        if faults and faults.latency:
            time.sleep(faults.latency)
        response = _reviews(settings, request)
        return faults.apply(response) if faults else response

    return Starlette(routes=[Route(PATH, reviews)])


def _reviews(settings: Settings, request: Request) -> Response:
    asked = dict(request.query_params)
    try:
        limit = min(LARGEST_PAGE, max(1, int(asked.get("limit", USUAL_PAGE))))
        at, key = _begin(asked)
    except ValueError:
        return _answer({"error": "a parameter is malformed"}, 400)
    try:
        with psycopg.connect(settings.postgres_dsn, connect_timeout=_CONNECT_SEC, row_factory=dict_row) as connection:
            # One snapshot: the number of reviews and the page belong together.
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            found = connection.execute(_PAGE, {"at": at, "id": key, "limit": limit + 1}).fetchall()
            total = None if asked.keys() & {"since", "after"} else connection.execute(_TOTAL).fetchone()
    except psycopg.Error:
        return _answer({"error": "the database does not answer"}, 503, {"retry-after": "1"})
    page, following = found[:limit], None
    if len(found) > limit:
        place = f"{page[-1]['updated_at'].isoformat()}_{page[-1]['id']}"
        following = f"{PATH}?{urlencode(asked | {'after': place})}"
    answer = _answer({"reviews": page, "next": following, **(total or {})})
    if request.headers.get("if-none-match") == answer.headers["etag"]:
        return Response(status_code=304, headers={"etag": answer.headers["etag"]})
    return answer


def _begin(asked: dict[str, str]) -> tuple[str, UUID]:
    """Return the time and the key after which the page begins.

    Raises:
        ValueError: a parameter is malformed.
    """
    if after := asked.get("after"):
        text, _, key = after.partition("_")
        return datetime.fromisoformat(text).isoformat(), UUID(key)
    since = asked.get("since")
    if not since:
        return "-infinity", _FIRST
    moment = datetime.fromisoformat(since)
    return (moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment).isoformat(), _FIRST


def _answer(value: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = orjson.dumps(value, option=_FORM)
    etag = {"etag": f'"{hashlib.sha256(body).hexdigest()[:32]}"'} if status == 200 else {}
    return Response(body, status, etag | (headers or {}), "application/json")
