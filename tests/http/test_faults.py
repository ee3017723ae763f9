"""An API that fails, lies or is slow costs no record, and no message holds a secret."""

import asyncio
import sys
import zlib
from contextlib import nullcontext, suppress
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from adventure.core.clock import utc_now
from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError, SourceError, SourceRefused, SourceShapeError, SourceUnavailable
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.sources.http import client
from tests.http.api import Api, Cut, Fault, answer
from tests.http.conftest import Reader, reading, styled

HOUR_AGO = utc_now() - timedelta(hours=1)
HTML = answer(b"<html>Service busy</html>", kind="text/html")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_FIRST_PAUSE", 0.01)


def past(_: Request) -> Response:
    return Response(b"{}", 429, {"retry-after": format_datetime(utc_now().astimezone(), usegmt=False)})


@pytest.mark.parametrize(
    "fault",
    [
        answer(b"{}", 429, retry_after="0"),
        past,
        answer(b"{}", 500),
        answer(b"{}", 503),
        answer(b"", 408),
        answer(b"", 304),
        HTML,
        answer(b"", 200, kind=""),
        answer(b'{"data": {"items": [{"id": "r0'),
        answer(b""),
        answer(b"\xff\xfe"),
        lambda _: Cut(b'{"data": {"items": []}, "total'),
    ],
)
@pytest.mark.parametrize("page", [0, 1])
def test_a_fault_that_passes_costs_no_record(api: Api, reader: Reader, fault: Fault, page: int) -> None:
    api.put_many(8, HOUR_AGO)
    api.faults = [None] * page + [fault]
    reader.cycle()
    assert reader.held() == api.records
    assert len(api.requests) == 4


def redirect(request: Request) -> Response:
    return Response(status_code=302, headers={"location": "http://localhost:9/elsewhere"})


def leave(request: Request) -> Response:
    body = b'{"data": {"items": []}, "paging": {"next": "http://example.com/?page=2"}}'
    return Response(body, media_type="application/json")


def same_page(request: Request) -> Response:
    body = b'{"data": {"items": [1]}, "paging": {"next": "?after=%d"}}' % id(request)
    return Response(body, media_type="application/json")


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (answer(b"{}", 500), SourceUnavailable, "answers 500"),
        (HTML, SourceUnavailable, "answers with text/html instead of JSON"),
        (answer(b'{"data":'), SourceUnavailable, "is not JSON, or was cut"),
        (lambda _: Cut(b"{"), SourceUnavailable, "does not answer"),
        (answer(b"{}", 401), SourceRefused, "refuses: 401. Check API_TOKEN"),
        (answer(b"{}", 403), SourceRefused, "refuses: 403"),
        (answer(b"{}", 404), SourceShapeError, "no such endpoint"),
        (answer(b"{}", 400), SourceError, "answers 400"),
        (answer(b"", 304), SourceUnavailable, "answers 304 to a request without conditions"),
        (answer(b"{}", content_encoding="gzip, gzip"), SourceError, "answers in the encoding 'gzip, gzip'"),
        (answer(b"{}", content_encoding="br"), SourceError, "answers in the encoding 'br'"),
        (answer(b'{"items": []}'), SourceShapeError, "has no list at data.items"),
        (answer(b'{"data": {"items": []}, "paging": {"next": {}}}'), SourceShapeError, "neither text nor a number"),
        (answer(b'{"data": {"items": []}, "paging": {"next": "?limit=1000"}}'), SourceShapeError, "leads back"),
        (answer(b'{"data": {"items": []}, "paging": {"next": "?a=\\ud800"}}'), SourceShapeError, "is no address"),
        (same_page, SourceShapeError, "answers with the same page again"),
        (answer(b"[" * 100_000), SourceError, "nested too deeply"),
        (redirect, SourceRefused, "leads to http://localhost, which is not that host"),
        (leave, SourceRefused, "leads to http://example.com, which is not that host"),
        (answer(b"", 302, location="/v1/shop/reviews"), SourceError, "redirects more than 3 times"),
    ],
)
def test_a_fault_that_stays_is_an_error_and_costs_no_record(
    api: Api, api_settings: Settings, fault: Fault, error: Any, message: str
) -> None:
    with reading(api_settings, retry_for=0) as reader:
        api.put_many(8, HOUR_AGO)
        reader.cycle()
        api.put_many(8, HOUR_AGO + timedelta(minutes=2), first=8)
        api.faults = [None]
        api.always = fault
        with pytest.raises(error, match=message) as raised:
            reader.cycle()
        assert "secret" not in str(raised.value)
        api.always = None
        reader.cycle()
        assert reader.held() == api.records


def test_an_answer_that_does_not_end_is_given_up(api: Api, reader: Reader) -> None:
    stream = styled("next", answer_mb=1)
    api.put("a", HOUR_AGO, text="x" * 1_000_000)
    assert reader.cycle(stream).rows_staged == 1
    api.put("b", HOUR_AGO, text="x" * 50_000)
    with pytest.raises(SourceError, match=r"more than 1 MB\. Set a smaller page_size .*or a larger answer_mb"):
        reader.cycle(stream)


def compressed(body: bytes, wbits: int) -> bytes:
    compressor = zlib.compressobj(wbits=wbits)
    return compressor.compress(body) + compressor.flush()


@pytest.mark.parametrize(("encoding", "wbits"), [("gzip", 31), ("deflate", 15), ("deflate", -15), ("GZIP", 31)])
@pytest.mark.parametrize("kept", [None, -5, 1])
def test_a_compressed_answer_is_read_whole(
    api: Api, reader: Reader, encoding: str, wbits: int, kept: int | None
) -> None:
    """A body that was cut is read again; it is larger than the pieces in which it is inflated."""
    api.put("a", HOUR_AGO, text="x" * 3_000_000)
    body = compressed(orjson.dumps({"data": {"items": list(api.records.values())}}), wbits)
    api.faults = [answer(body[:kept], content_encoding=encoding)] if kept else []
    api.always = answer(body, content_encoding=encoding)
    reader.cycle()
    assert reader.held() == api.records
    assert len(api.requests) == (2 if kept else 1)


def test_an_answer_that_trickles_is_given_up(api: Api, api_settings: Settings) -> None:
    """No single wait is long, so that only the limit for the whole answer ends it."""

    class Trickle(Response):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            with suppress(Exception):
                while True:
                    await send({"type": "http.response.body", "body": b" " * 1000, "more_body": True})
                    await asyncio.sleep(0.02)

    api.always = lambda _: Trickle()
    with (
        reading(api_settings.model_copy(update={"stuck_after_sec": 0.3}), retry_for=0) as reader,
        pytest.raises(SourceUnavailable, match="did not finish its answer in time"),
    ):
        reader.cycle()


def test_an_api_that_is_silent_is_given_up(api: Api, api_settings: Settings) -> None:
    class Silent(Response):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await receive()

    api.always = lambda _: Silent()
    with (
        reading(api_settings.model_copy(update={"stuck_after_sec": 0.3}), retry_for=0) as reader,
        pytest.raises(SourceUnavailable, match="does not answer in time"),
    ):
        reader.cycle()


def test_an_api_that_asks_to_wait_long_gets_no_request_before(api: Api, reader: Reader) -> None:
    api.faults = [answer(b"{}", 429, retry_after="120")]
    for message in ("the next request waits for 120 s", "asked to wait"):
        with pytest.raises(SourceUnavailable, match=message):
            reader.cycle()
    assert len(api.requests) == 1


def test_requests_stay_below_the_rate(api: Api, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(client.ApiClient, "_pause", lambda _, seconds: pauses.append(seconds))
    api.put_many(9, HOUR_AGO)
    reader.cycle(styled("next", requests_per_second=0.1))
    assert [pause > 9 for pause in pauses] == [False, True, True]


def test_a_redirect_within_the_host_is_followed(api: Api, reader: Reader) -> None:
    api.put_many(2, HOUR_AGO)
    api.faults = [lambda request: Response(status_code=307, headers={"location": f"{request.url}&moved=1"})]
    reader.cycle()
    assert reader.held() == api.records
    assert api.requests[1].query_params["moved"] == "1"


def test_the_token_and_other_headers_are_sent_and_not_logged(
    api: Api, api_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    headers = SecretStr('{"X-Api-Key": "another-secret"}')
    api.put_many(2, HOUR_AGO)
    api.faults = [answer(b"{}", 503)]
    with reading(api_settings.model_copy(update={"api_headers": headers})) as reader:
        reader.cycle()
    assert api.requests[0].headers["authorization"] == "Bearer the-secret-token"
    assert api.requests[0].headers["x-api-key"] == "another-secret"
    assert "answers 503" in (said := capsys.readouterr().out)
    assert "secret" not in said


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("certificates")
    authority, stranger, server = (folder / f"{name}.pem" for name in ("authority", "stranger", "server"))
    signing = trustme.CA()
    signing.cert_pem.write_to_path(authority)
    trustme.CA().cert_pem.write_to_path(stranger)
    signing.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(server)
    return authority, stranger, server


def test_a_certificate_is_checked(tmp_path: Path, certificates: tuple[Path, Path, Path]) -> None:
    authority, stranger, server = certificates
    with Api().running(str(server)) as api:
        api.put_many(2, HOUR_AGO)
        for trusted in (None, stranger, authority):
            settings = load_settings(api_url=api.url, api_tls_ca_file=trusted, data_dir=tmp_path)
            with (
                reading(settings) as reader,
                nullcontext() if trusted == authority else pytest.raises(SourceRefused, match="cannot be trusted"),
            ):
                assert reader.cycle().rows_staged == 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("api_url", "shop.example", "no address such as"),
        ("api_url", "https://me:secret@shop.example", "may hold no user"),
        ("api_url", "https://shop.example?key=secret", "put them in API_TOKEN"),
        ("api_headers", "secret", "no JSON object of texts"),
        ("api_headers", '{"secret": 1}', "no JSON object of texts"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        load_settings(**{name: value})
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"api_token": "the-secret\x01token"},
        {"api_token": "the-secret-token\n"},
        {"api_token": "the-sécret-tokén"},
        {"api_headers": '{"X-Api-Key": "secret\\r\\nX: y"}'},
        {"api_headers": '{"X Api Key": "secret"}'},
    ],
)
def test_a_header_that_cannot_be_sent_is_not_shown(api: Api, settings: dict[str, str]) -> None:
    with (
        pytest.raises(SourceRefused, match="API_HEADERS or API_TOKEN cannot be sent") as raised,
        reading(load_settings(api_url=api.url, **settings)),
    ):
        pass
    assert "secret" not in str(raised.value)


def test_an_api_without_an_address_is_refused() -> None:
    with pytest.raises(SourceRefused, match="API_URL is not set"), reading(load_settings(api_url="")):
        pass


def test_a_missing_package_is_named(api_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("adventure.sources.http.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ConfigError, match=r"pip install 'adventure-pipeline\[http\]'"), reading(api_settings):
        pass


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("", "needs a lookback"),
        ("lookback = 60\nwhere = 'x'", "has no query language"),
        ("lookback = 60\napi = { pages = 'token' }", "needs next"),
        ("lookback = 60\napi = { pages = 'sideways' }", "pages"),
        ("lookback = 60\napi = { sice = 'since' }", "is not a key of this table"),
    ],
)
def test_a_wrong_entry_is_explained(tmp_path: Path, entry: str, message: str) -> None:
    path = tmp_path / "pipeline.toml"
    path.write_text(
        '[streams.reviews]\nsource = "http"\nnamespace = "shop"\ntable = "reviews"\ncursor = "at"\nkey = "id"\n'
        f'stage = "reviews_stage"\nraw_table = "raw_ext.reviews_raw"\n{entry}\n'
    )
    with pytest.raises(ConfigError, match=message):
        load_streams(load_settings(pipeline_file=path))
