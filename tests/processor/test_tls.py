"""TLS to both sources, with a trusted certificate and with each kind of untrusted one."""

import contextlib
import gzip
import json
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
import trustme
from pydantic import SecretStr

from adventure.core import connect
from adventure.core.environment import load_settings
from adventure.core.errors import SourceError, SourceRefused, SourceUnavailable
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.run import backfill
from adventure.demo.sandbox.process import await_answer, free_port, launch, stop
from adventure.demo.sandbox.sandbox import Sandbox
from adventure.destinations.duckdb.stage import FolderStage
from adventure.processor.run import process_once
from adventure.sources.mongo.connect import connect_mongo
from adventure.sources.postgres import decoder
from tests.proxy import How, Proxy, Strike
from tests.waiting import until


@dataclass(frozen=True)
class Certificates:
    """Paths of the certificates' files."""

    authority: Path
    stranger: Path
    """Another authority, which signed none of these certificates."""
    server: Path
    """Certificate and key for 127.0.0.1, in one file."""
    client: Path
    client_key: Path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority, server, client = trustme.CA(), folder / "server.pem", folder / "client.pem"
    authority.cert_pem.write_to_path(folder / "authority.pem")
    trustme.CA().cert_pem.write_to_path(folder / "stranger.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(server)
    issued = authority.issue_cert("reader.example", common_name="adventure_reader")
    issued.cert_chain_pems[0].write_to_path(client)
    issued.private_key_pem.write_to_path(folder / "client.key")
    (folder / "client.key").chmod(0o600)
    return Certificates(folder / "authority.pem", folder / "stranger.pem", server, client, folder / "client.key")


class Terminator(threading.Thread):
    """Terminates TLS for the embedded PostgreSQL, whose build lacks it: accepts libpq's request and forwards data."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(daemon=True)
        self._server_port, self._context = port, context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.served = 0

    def run(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            assert client.recv(8) == bytes.fromhex("0000000804d2162f"), "libpq asks for TLS first"
            client.sendall(b"S")
            with (
                self._context.wrap_socket(client, server_side=True) as secured,
                socket.create_connection(("127.0.0.1", self._server_port)) as server,
            ):
                self.served += 1
                answers = threading.Thread(target=_pass_on, args=[server, secured], daemon=True)
                answers.start()
                _pass_on(secured, server)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    # Also after an error, and both: closing a socket does not end another thread's wait for it, and keeps it open.
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def terminator(sandbox: Sandbox, certificates: Certificates, request: pytest.FixtureRequest) -> Iterator[Terminator]:
    """Start the proxy in front of the tests' PostgreSQL. With the mark `guarded`, it requires a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    if request.node.get_closest_marker("guarded"):
        context.load_verify_locations(certificates.authority)
        context.verify_mode = ssl.CERT_REQUIRED
    thread = Terminator(sandbox.postgres.port, context)
    thread.start()
    yield thread
    thread.close()


@pytest.fixture
def secured(settings: Settings, terminator: Terminator, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(connect, "RETRY_FOR_SEC", 0.5)
    return with_tls(settings, postgres_port=terminator.port)


def sales(settings: Settings) -> list[Stream]:
    return list(load_streams(settings))[:2]


def with_tls(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update=changes)


def test_both_drivers_speak_tls_with_a_server_whose_certificate_is_trusted(
    secured: Settings, certificates: Certificates, terminator: Terminator
) -> None:
    process_once(with_tls(secured, postgres_sslrootcert=certificates.authority), sales(secured))
    assert terminator.served >= 2, "one that asks and one that extracts, and nothing gets through without TLS"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"postgres_sslrootcert": "stranger"}, "certificate verify failed"),
        ({"postgres_sslrootcert": "authority", "postgres_host": "localhost"}, 'does not match host name "localhost"'),
        ({"postgres_sslmode": "verify-full"}, "root certificate file"),
    ],
)
def test_a_server_that_is_not_trusted_is_refused(
    secured: Settings,
    certificates: Certificates,
    changes: dict[str, Any],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(secured.data_dir))
    files = {name: getattr(certificates, str(value), value) for name, value in changes.items()}
    with pytest.raises(SourceRefused, match=sentence) as caught:
        process_once(with_tls(secured, **files), sales(secured))
    assert secured.postgres_password.get_secret_value() not in str(caught.value)


def test_another_host_name_passes_where_only_the_authority_is_asked_for(
    secured: Settings, certificates: Certificates
) -> None:
    changes = {
        "postgres_sslrootcert": certificates.authority,
        "postgres_host": "localhost",
        "postgres_sslmode": "verify-ca",
    }
    process_once(with_tls(secured, **changes), sales(secured))


def test_a_server_without_tls_is_refused_when_tls_is_asked_for(
    sandbox: Sandbox, settings: Settings, streams: tuple[Stream, ...], certificates: Certificates
) -> None:
    with pytest.raises(SourceRefused, match="does not support SSL"):
        process_once(with_tls(settings, postgres_sslrootcert=certificates.authority), streams[:2])


@pytest.mark.guarded
def test_a_client_certificate_is_accepted_where_one_is_required(secured: Settings, certificates: Certificates) -> None:
    trusting = with_tls(secured, postgres_sslrootcert=certificates.authority)
    with pytest.raises(SourceError, match=r"certificate required|SSL|closed"):
        process_once(trusting, sales(secured))
    shown = {"postgres_sslcert": certificates.client, "postgres_sslkey": certificates.client_key}
    process_once(with_tls(trusting, **shown), sales(secured))


@pytest.fixture(scope="module")
def secured_mongo(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a MongoDB-compatible server that accepts only TLS."""
    folder, port = tmp_path_factory.mktemp("tls-mongo"), free_port(None)
    (folder / "empty.toml").touch()
    command: list[str | Path] = [sys.executable, "-m", "secantus", "--config", folder / "empty.toml"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--storage-path", folder / "data"]
    command += ["--tls-cert-file", certificates.server, "--tls-key-file", certificates.server]
    server = launch(command, folder / "log")

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    await_answer(server, answers, "secantus", folder / "log")
    yield port
    stop(server, signal.SIGTERM)


def test_documents_are_read_over_tls(secured_mongo: int, certificates: Certificates) -> None:
    settings = load_settings(mongo_host="127.0.0.1", mongo_port=secured_mongo, mongo_tls_ca_file=certificates.authority)
    with connect_mongo(settings.mongo_conninfo, name="the chats") as client:
        assert client.admin.command("ping")["ok"] == 1


@pytest.mark.parametrize(
    ("host", "authority", "sentence"),
    [
        ("127.0.0.1", "stranger", "cannot be trusted.*certificate verify failed"),
        ("localhost", "authority", "cannot be trusted.*certificate verify failed: Hostname mismatch"),
        ("127.0.0.1", None, "cannot be trusted.*certificate verify failed"),
    ],
)
def test_a_mongo_server_that_is_not_trusted_is_refused(
    secured_mongo: int, certificates: Certificates, host: str, authority: str | None, sentence: str
) -> None:
    file = getattr(certificates, authority) if authority else None
    uri = SecretStr(f"mongodb://{host}:{secured_mongo}")
    settings = load_settings(mongo_uri=uri, mongo_tls=True, mongo_tls_ca_file=file)
    with pytest.raises(SourceRefused, match=sentence):
        connect_mongo(settings.mongo_conninfo, name="the chats")


def test_a_mongo_server_without_tls_is_reported(
    settings: Settings, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "RETRY_FOR_SEC", 0.1)
    with pytest.raises(SourceUnavailable, match="does not answer"):
        connect_mongo(with_tls(settings, mongo_tls_ca_file=certificates.authority).mongo_conninfo, name="the chats")


@pytest.mark.parametrize("after", [20_000, 60_000, 150_000])
def test_a_bit_of_a_row_that_changes_on_its_way_is_noticed(
    secured: Settings,
    certificates: Certificates,
    terminator: Terminator,
    writer_settings: Settings,
    after: int,
) -> None:
    """In the connection that extracts, after so many bytes. The next cycle stages what the source has."""
    backfill(writer_settings, orders=600, days=5, seed=1)
    streams = sales(secured)
    with Proxy(terminator.port) as proxy:
        settings = with_tls(secured, postgres_sslrootcert=certificates.authority, postgres_port=proxy.port)
        # ADBC opens a connection of its own before the one that extracts.
        strike = Strike(How.CORRUPT, after=after, skip=1 if decoder.is_installed() else 2)
        proxy.arm(strike)
        with pytest.raises(SourceUnavailable, match="SSL error"):
            process_once(settings, streams)
        assert proxy.hit == [How.CORRUPT]
        with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as connection:
            # The server takes a moment to end the session that was broken. Its transaction holds rows back meanwhile.
            query = "select count(*) from pg_stat_activity where datname = current_database() and usename = %s"
            until(lambda: connection.execute(query, [settings.postgres_user]).fetchone() == (0,))
        assert process_once(settings, streams).failures == {}
    for stream in streams:
        staged = sum(window.rows for window in FolderStage(settings.stage_dir).windows(stream.stage))
        with psycopg.connect(writer_settings.postgres_dsn) as connection:
            [(count,)] = connection.execute(f"select count(*) from {stream.table}").fetchall()  # type: ignore[arg-type]
        assert staged == count


def text_of(number: int) -> str:
    """Return a text that no compression makes short."""
    return Random(number).randbytes(500).hex()


@pytest.mark.parametrize("after", [20_000, 150_000, 900_000], ids=["first batch", "second batch", "its middle"])
def test_a_bit_of_a_document_that_changes_on_its_way_is_noticed(
    secured_mongo: int, certificates: Certificates, settings: Settings, after: int
) -> None:
    """In each connection, after so many bytes. The next cycle stages what the source has."""
    direct = settings.model_copy(update={"mongo_uri": None, "mongo_port": secured_mongo, "mongo_db": f"chats_{after}"})
    direct = with_tls(direct, mongo_tls_ca_file=certificates.authority)
    stream = load_streams(direct)[2]
    now = datetime.now(UTC).replace(microsecond=0)
    with connect_mongo(direct.mongo_conninfo, name="the chats") as client:
        client[direct.mongo_db][direct.mongo_collection].insert_many(
            {"_id": n, "text": text_of(n), "last_modified": now - timedelta(hours=1)} for n in range(2000)
        )
    with Proxy(secured_mongo) as proxy:
        # Otherwise the driver goes on to the address that the server names.
        through = SecretStr(f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true")
        settings = direct.model_copy(update={"mongo_uri": through})
        proxy.arm_each(Strike(How.CORRUPT, after=after))
        with pytest.raises(SourceUnavailable):
            process_once(settings, [stream])
        assert set(proxy.hit) == {How.CORRUPT}
        proxy.disarm()
        assert process_once(settings, [stream]).failures == {}
    files = sorted(settings.stage_dir.rglob("*.ndjson.gz"))
    texts = [json.loads(line)["text"] for path in files for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert sorted(texts) == sorted(text_of(n) for n in range(2000))
