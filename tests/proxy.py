"""A TCP proxy that closes, resets, stalls or corrupts connections, at a byte of the server's answer or on request.

with Proxy(server_port) as proxy:
    settings = settings.model_copy(update={"postgres_port": proxy.port})
    strike = Strike(How.RESET, trigger=b"COPY (", after=5_000)
    proxy.arm(strike)                # one connection is reset, 5,000 bytes into the answer to its next COPY
    assert proxy.wait(strike, 30)    # true once that has happened
    proxy.strike_all(How.CUT)        # every open connection, now
"""

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from enum import StrEnum

_CHUNK = 1 << 16


class How(StrEnum):
    """What happens to a connection."""

    CUT = "cut"
    """Close in order (FIN): the client reads an end of file."""
    RESET = "reset"
    """Close abruptly (RST): the client's call fails."""
    STALL = "stall"
    """Forward nothing for a while, in either direction; both sockets stay open."""
    CORRUPT = "corrupt"
    """Change one bit of the next byte of an answer."""


@dataclass(frozen=True, eq=False)
class Strike:
    """Where to hit a connection, once.

    It hits the first connection whose client sends `trigger`; an empty trigger means the next new connection. The proxy
    still forwards `after` bytes of the server's answers. With `before`, it forwards the answers up to `early` bytes
    before that text instead.
    """

    how: How
    trigger: bytes = b""
    after: int = 0
    before: bytes = b""
    early: int = 0
    skip: int = 0
    """Number of matching connections or requests to skip first."""
    seconds: float = 0.0
    """Duration of a stall in seconds."""


@dataclass(eq=False)
class _Connection:
    client: socket.socket
    server: socket.socket
    moving: threading.Event = field(default_factory=threading.Event)
    strike: Strike | None = None
    """The strike that is due on this connection."""
    passed: int = 0
    """Bytes of answers since the trigger."""
    requested: bytes = b""
    """The end of the client's data, in which a trigger may begin."""
    corrupts: bool = False
    """Whether the next byte of an answer is to be changed."""


class Proxy:
    """Listen on `port` of 127.0.0.1 and forward everything to the server, except during a strike."""

    def __init__(self, server_port: int, server_host: str = "127.0.0.1") -> None:
        self._server = (server_host, server_port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.opened = 0
        """Number of connections so far."""
        self.hit: list[How] = []
        """The strikes carried out so far, in order."""
        self._lock = threading.Condition()
        self._connections: set[_Connection] = set()
        self._armed: Strike | None = None
        self._each: Strike | None = None
        self._skipped = 0
        self._done: set[Strike] = set()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def arm(self, strike: Strike) -> None:
        """Hit the next connection that matches; replace a strike that has not happened yet."""
        with self._lock:
            for connection in self._connections:
                connection.strike = None
            self._armed, self._skipped = strike, 0

    def arm_each(self, strike: Strike) -> None:
        """Hit each further connection, once."""
        self._each = strike

    def disarm(self) -> None:
        """Hit no more connections."""
        with self._lock:
            self._armed = self._each = None
            for connection in self._connections:
                connection.strike = None

    def wait(self, strike: Strike, seconds: float) -> bool:
        """Return whether the strike happens within that time."""
        with self._lock:
            return self._lock.wait_for(lambda: strike in self._done, seconds)

    def strike_all(self, how: How, seconds: float = 0.0) -> None:
        """Hit every open connection now."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            self._hit(connection, how, seconds)

    def close(self) -> None:
        """Close every connection and stop listening."""
        self._listening.close()
        self.strike_all(How.RESET)

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
                continue
            connection = _Connection(client, server)
            connection.moving.set()
            with self._lock:
                self.opened += 1
                self._connections.add(connection)
                connection.strike = self._each
                if self._armed and not self._armed.trigger:
                    self._match(connection)
            for move in (self._requests, self._answers):
                threading.Thread(target=move, args=[connection], name="proxy", daemon=True).start()

    def _match(self, connection: _Connection) -> None:
        """Take the armed strike for this connection, unless it still has to skip some."""
        assert self._armed is not None
        if self._skipped < self._armed.skip:
            self._skipped += 1
            return
        connection.strike, connection.passed, self._armed = self._armed, 0, None

    def _requests(self, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            while data := connection.client.recv(_CHUNK):
                with self._lock:
                    if self._armed and (trigger := self._armed.trigger):
                        if trigger in connection.requested + data:
                            self._match(connection)
                        connection.requested = (connection.requested + data)[-len(trigger) + 1 :]
                    else:
                        connection.requested = b""
                # Without forwarded bytes the strike comes before the server receives the request.
                if (strike := connection.strike) and not strike.before and not strike.after:
                    self._carry_out(connection, strike)
                connection.moving.wait()
                connection.server.sendall(data)
        # While the connection stalls, do not forward the client's end of file either.
        connection.moving.wait()
        self._end(connection)

    def _answers(self, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            while data := connection.server.recv(_CHUNK):
                if strike := connection.strike:
                    if strike.before:
                        found = data.find(strike.before)
                        passing = len(data) if found < 0 else max(0, found - strike.early)
                        due = found >= 0
                    else:
                        passing = min(len(data), strike.after - connection.passed)
                        due = connection.passed + passing >= strike.after
                    connection.client.sendall(data[:passing])
                    connection.passed += passing
                    data = data[passing:]
                    if due:
                        self._carry_out(connection, strike)
                connection.moving.wait()
                if connection.corrupts and data:
                    data, connection.corrupts = bytes([data[0] ^ 1]) + data[1:], False
                connection.client.sendall(data)
        self._end(connection)

    def _carry_out(self, connection: _Connection, strike: Strike) -> None:
        with self._lock:
            if connection.strike is not strike:
                return
            connection.strike = None
        self._hit(connection, strike.how, strike.seconds)
        with self._lock:
            self._done.add(strike)
            self._lock.notify_all()

    def _hit(self, connection: _Connection, how: How, seconds: float) -> None:
        self.hit.append(how)
        if how is How.STALL:
            connection.moving.clear()
            timer = threading.Timer(seconds, connection.moving.set)
            timer.daemon = True
            timer.start()
        elif how is How.CORRUPT:
            connection.corrupts = True
        else:
            self._end(connection, how)

    def _end(self, connection: _Connection, how: How = How.CUT) -> None:
        with self._lock:
            self._connections.discard(connection)
            if connection.strike not in (None, self._each) and not self._armed:
                # The connection closed before its strike: another connection takes it.
                self._armed, connection.strike = connection.strike, None
        for each in (connection.client, connection.server):
            with contextlib.suppress(OSError):
                if how is How.RESET:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Wake the thread that waits in recv and keeps the socket open. SHUT_RD sends nothing to the peer.
                each.shutdown(socket.SHUT_RD if how is How.RESET else socket.SHUT_RDWR)
            each.close()
        connection.moving.set()
