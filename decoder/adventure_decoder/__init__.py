"""Decode PostgreSQL's binary COPY into Arrow; see README.md."""

from adventure_decoder.native import END, FULL, ROW, Decoder

__all__ = ["END", "FULL", "ROW", "Decoder"]
