from collections.abc import Iterable

from typing_extensions import Buffer

ROW: int
END: int
FULL: int

class Decoder:
    """Collects the rows of one COPY, by columns: (name, kind) or (name, "decimal", precision, scale).

    Raises:
        ValueError: from every method; a message is malformed, and names row and column.
    """

    def __new__(cls, columns: Iterable[tuple[str, str] | tuple[str, str, int, int]], /) -> Decoder: ...
    def feed(self, message: Buffer, /) -> int:
        """Decode one message. FULL: call `finish`, and feed the same message again."""

    def fetch(self, connection: int, get_copy_data: int, freemem: int, bytes: int, /) -> int:
        """Decode what libpq has received, without the GIL. ROW: no more; FULL: so many bytes; END: the COPY ended.

        Args: the address of a PGconn, and of PQgetCopyData and PQfreemem of the libpq that opened it.
        """

    def finish(self) -> tuple[object, object]:
        """Return the rows since the last call as capsules of Arrow's C Data Interface: schema and array."""
