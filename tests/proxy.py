"""A TCP proxy that cuts, resets or stalls connections: at a byte of the server's answer, or at a moment of choice.

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
    """Closed in order (FIN): the client reads an end of file."""
    RESET = "reset"
    """Closed at once (RST): the client's call fails."""
    STALL = "stall"
    """Nothing is passed on for a while, in either direction; both sockets stay open."""


@dataclass(frozen=True, eq=False)
class Strike:
    """Where one connection is hit, once.

    It is the first connection whose client sends `trigger`; an empty trigger means the next connection that is opened.
    Then `after` bytes of the server's answers still pass. With `before`, the answers pass up to `early` bytes before
    that text instead.
    """

    how: How
    trigger: bytes = b""
    after: int = 0
    before: bytes = b""
    early: int = 0
    skip: int = 0
    """How many matching connections or requests are left alone first."""
    seconds: float = 0.0
    """How long a stall takes."""


@dataclass(eq=False)
class _Connection:
    client: socket.socket
    server: socket.socket
    moving: threading.Event = field(default_factory=threading.Event)
    strike: Strike | None = None
    """What is due on this connection."""
    passed: int = 0
    """Bytes of answers since the trigger."""
    requested: bytes = b""
    """The end of what the client sent, in which a trigger may begin."""


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes everything on to the server, until a strike says otherwise."""

    def __init__(self, server_port: int, server_host: str = "127.0.0.1") -> None:
        self._server = (server_host, server_port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.opened = 0
        """Connections so far."""
        self.hit: list[How] = []
        """What was done to a connection so far, in its order."""
        self._lock = threading.Condition()
        self._connections: set[_Connection] = set()
        self._armed: Strike | None = None
        self._skipped = 0
        self._done: set[Strike] = set()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def arm(self, strike: Strike) -> None:
        """Hits the next connection that matches; replaces a strike that has not happened yet."""
        with self._lock:
            for connection in self._connections:
                connection.strike = None
            self._armed, self._skipped = strike, 0

    def disarm(self) -> None:
        """Leaves every connection alone from now on."""
        with self._lock:
            self._armed = None
            for connection in self._connections:
                connection.strike = None

    def wait(self, strike: Strike, seconds: float) -> bool:
        """Whether the strike happens within that time."""
        with self._lock:
            return self._lock.wait_for(lambda: strike in self._done, seconds)

    def strike_all(self, how: How, seconds: float = 0.0) -> None:
        """Hits every open connection now."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            self._hit(connection, how, seconds)

    def close(self) -> None:
        """Ends every connection and stops listening."""
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
                if self._armed and not self._armed.trigger:
                    self._match(connection)
            for move in (self._requests, self._answers):
                threading.Thread(target=move, args=[connection], name="proxy", daemon=True).start()

    def _match(self, connection: _Connection) -> None:
        """Takes the armed strike for this connection, unless it is still to be skipped."""
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
                # A server that answers nothing yet is hit before it hears the request.
                if (strike := connection.strike) and not strike.before and not strike.after:
                    self._carry_out(connection, strike)
                connection.moving.wait()
                connection.server.sendall(data)
        # The end of the client is not passed on either while the connection stalls.
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
        else:
            self._end(connection, how)

    def _end(self, connection: _Connection, how: How = How.CUT) -> None:
        with self._lock:
            self._connections.discard(connection)
            if connection.strike and not self._armed:
                # It ended before its strike came: another connection takes it.
                self._armed, connection.strike = connection.strike, None
        for each in (connection.client, connection.server):
            with contextlib.suppress(OSError):
                if how is How.RESET:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # A thread that waits in recv keeps the socket open; this wakes it. SHUT_RD sends nothing to the peer.
                each.shutdown(socket.SHUT_RD if how is How.RESET else socket.SHUT_RDWR)
            each.close()
        connection.moving.set()
