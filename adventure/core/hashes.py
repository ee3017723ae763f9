"""The hash of a value that a stream reads under `hash` in pipeline.toml; PostgreSQL computes the same in SQL."""

import hmac


def hash_of(text: str, key: bytes) -> str:
    """Return the HMAC-SHA256 of a value's text, in hexadecimal digits."""
    return hmac.digest(key, text.encode(), "sha256").hex()
