"""A server that says no as Snowflake does: the real connector speaks to it, and raises what it would raise.

The codes and texts are those of Snowflake's own answers.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class No:
    """A refusal: an HTTP status, or the code and text of an answer."""

    code: str = ""
    message: str = ""
    sqlstate: str = ""
    at_login: bool = False
    status: int = 200


@contextmanager
def refusing_server(no: No) -> Iterator[int]:
    """Its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            login = "/login-request" in self.path
            if no.status != 200:
                self._answer(no.status, {})
            elif login == no.at_login and (login or "/query-request" in self.path):
                refusal = {"code": no.code, "message": no.message, "success": False}
                self._answer(200, refusal | {"data": {"sqlState": no.sqlstate, "errorCode": no.code, "queryId": "q"}})
            else:
                parameters = [{"name": "AUTOCOMMIT", "value": True}]
                session = {
                    "token": "t",
                    "masterToken": "m",
                    "sessionId": 1,
                    "parameters": parameters,
                    "sessionInfo": {},
                }
                self._answer(200, {"success": True, "code": None, "message": None, "data": session if login else {}})

        def _answer(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
