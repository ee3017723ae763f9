"""Read the body of a response piece by piece, so that no small body fills the memory by growing."""

import zlib
from collections.abc import Iterator

import httpx

ENCODINGS = ("", "identity", "gzip", "deflate")

_PIECE = 1 << 20
"""The most bytes that one piece becomes. A piece from the network may grow by a factor of 1,000."""


def pieces(response: httpx.Response, encoding: str) -> Iterator[bytes]:
    """Yield the body, decompressed.

    Args:
        encoding: one of ENCODINGS.

    Raises:
        zlib.error: it is not compressed as the API says, or ends too early.
    """
    if encoding in ("", "identity"):
        yield from response.iter_raw()
        return
    inflater, begun = zlib.decompressobj(zlib.MAX_WBITS | 32), False
    for piece in response.iter_raw():
        rest = piece
        while rest:
            try:
                yield inflater.decompress(rest, _PIECE)
            except zlib.error:
                if begun or encoding != "deflate":
                    raise
                # Some servers leave out the header of zlib's form.
                inflater, begun = zlib.decompressobj(-zlib.MAX_WBITS), True
                continue
            rest, begun = inflater.unconsumed_tail, True
    yield inflater.flush()
    if begun and not inflater.eof:
        raise zlib.error("it ends too early")
