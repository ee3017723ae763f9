"""Feed the decoder with damaged messages, and check what it returns for the others.

    python -m tests.decoder.fuzz [--seconds 60] [--seed 1]

A run under the sanitizers, which see what a wrong result would not show:

    cc -shared -fPIC -g -O1 -fsanitize=address,undefined -fno-sanitize-recover -I$(python -c
        'import sysconfig; print(sysconfig.get_path("include"))') decoder/adventure_decoder/native.c
        -o /tmp/sanitized/adventure_decoder/native.abi3.so    # beside a copy of its __init__.py
    PYTHONPATH=/tmp/sanitized LD_PRELOAD="$(cc -print-file-name=libasan.so) $(cc -print-file-name=libubsan.so)"
        ASAN_OPTIONS=detect_leaks=0 python -m tests.decoder.fuzz
"""

import argparse
import math
import random
import time
from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from adventure_decoder import END as ENDED
from adventure_decoder import FULL, Decoder

from tests.decoder.messages import END, HEADER, encoded, row

KINDS = (
    "bool",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "text",
    "bytea",
    "date",
    "timestamp",
    "uuid",
    "numeric",
    "decimal",
)


class Capsules:
    """What Arrow imports as a record batch."""

    def __init__(self, decoder: Decoder) -> None:
        self.capsules = decoder.finish()

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self.capsules


def finished(decoder: Decoder) -> pa.RecordBatch:
    """Return the rows since the last call."""
    return pa.record_batch(Capsules(decoder))


def batches(decoder: Decoder, messages: list[bytes]) -> list[pa.RecordBatch]:
    """Return the rows of the messages, in as many batches as the decoder needs.

    Raises:
        ValueError: a message is malformed.
    """
    found = []
    for message in messages:
        state = decoder.feed(message)
        if state == FULL:
            found.append(finished(decoder))
            state = decoder.feed(message)
            assert state != FULL
        if state == ENDED:
            break
    return [*found, finished(decoder)]


def some_value(random: random.Random, kind: str) -> Any:
    """Return a value of the kind, or NULL."""
    if random.random() < 0.2:
        return None
    match kind:
        case "bool":
            return random.random() < 0.5
        case "int2" | "int4" | "int8":
            bits = 8 * int(kind[3:])
            return random.randrange(-(2 ** (bits - 1)), 2 ** (bits - 1))
        case "float4":
            return random.choice((0.0, -0.0, 1.5, math.inf, -math.inf))
        case "float8":
            return random.choice((-0.0, random.gauss(0, 1e9), math.inf))
        case "text":
            return "é𝄞 x"[: random.randrange(5)] * random.choice((0, 1, 1, 1, 300))
        case "bytea":
            return random.randbytes(random.randrange(40))
        case "date":
            return date(1, 1, 1) + timedelta(days=random.randrange(3_000_000))
        case "timestamp":
            return datetime(1, 1, 1) + timedelta(microseconds=random.randrange(10**17))
        case "uuid":
            return random.randbytes(16).hex()
    digits = random.choice((1, 5, 18, 19, 38, 45))
    value = Decimal(random.randrange(10**digits)).scaleb(-random.randrange(0, 12))
    return random.choice((value, value, -value, Decimal("NaN")))


def damaged(random: random.Random, message: bytes) -> bytes:
    """Return the message with some bytes changed, cut out, repeated or added."""
    data = bytearray(message)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(data) + 1)
        match random.randrange(5):
            case 0:
                data = data[:at]
            case 1:
                data[at:at] = random.randbytes(random.randrange(9))
            case 2 if at < len(data):
                data[at] ^= 1 << random.randrange(8)
            case 3 if at < len(data):
                data[at] = random.choice((0, 1, 127, 128, 255))
            case _:
                del data[at : at + random.randrange(9)]
    return bytes(data)


def once(random: random.Random) -> str:
    """Decode some rows, of which one may be damaged; return what happened."""
    kinds = [random.choice(KINDS) for _ in range(random.randrange(1, 9))]
    columns: list[Any] = []
    for number, kind in enumerate(kinds):
        precision = random.randrange(1, 39)
        columns.append(
            (f"c{number}", kind, precision, random.randrange(precision + 1))
            if kind == "decimal"
            else (f"c{number}", kind)
        )
    messages = [
        row([encoded(kind, some_value(random, kind)) for kind in kinds]) for _ in range(random.randrange(1, 40))
    ]
    messages[0] = HEADER + messages[0]
    messages.append(END)
    if is_damaged := random.random() < 0.8:
        at = random.randrange(len(messages))
        messages[at] = damaged(random, messages[at])
    decoder = Decoder(columns)
    try:
        found = batches(decoder, messages)
    except ValueError:
        assert is_damaged
        return "refused"
    for batch in found:
        # A changed byte of a text may be no UTF-8, which the server's encoding rules out and nothing here checks.
        texts = [name for name, kind, *_ in columns if kind == "text"]
        batch.drop_columns(texts).validate(full=True)
        batch.validate()
    if not is_damaged:
        assert sum(batch.num_rows for batch in found) == len(messages) - 1
    return "decoded"


def run(seconds: float, seed: int, limit: int | None = None) -> Counter[str]:
    """Repeat it for so many seconds, or so many times; return how often what happened."""
    source, until, counts = random.Random(seed), time.monotonic() + seconds, Counter[str]()
    while time.monotonic() < until and counts.total() != limit:
        counts[once(source)] += 1
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(dict(run(arguments.seconds, arguments.seed)))
