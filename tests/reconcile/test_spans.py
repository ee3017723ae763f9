"""Range hashes find every difference, wherever the borders of ranges are, and read few other rows."""

import threading
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adventure.core import spans
from adventure.core.key_kinds import joined_key, key_parts
from adventure.core.spans import Digest, Pieces, Span, differing, joined

Rows = dict[str, int]


class Side:
    """A side in memory: cursors by key."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.read = rows, 0

    def digests(self, pieces: Pieces) -> dict[int, Digest]:
        found: dict[int, Digest] = {}
        for key, cursor in self.rows.items():
            if pieces.span.low <= cursor < pieces.span.high:
                self.read += 1
                number = (cursor - pieces.span.low) // pieces.width
                before = found.get(number, Digest())
                found[number] = Digest(before.rows + 1, before.hash + hash((key, cursor)))
        return found


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FIRST_PIECES", 8), ("PIECES", 3), ("FEW", 2)):
        monkeypatch.setattr(spans, name, value)


# Few distinct cursors, so that many rows share a cursor and lie on the borders of pieces.
rows = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(-5, 40) | st.sampled_from([0, 8, 16, 1000]))


@given(one=rows, changes=rows, deleted=st.sets(st.text("abc", min_size=1, max_size=3)))
def test_every_difference_is_in_a_span_and_every_span_has_one(one: Rows, changes: Rows, deleted: set[str]) -> None:
    other = {key: cursor for key, cursor in (one | changes).items() if key not in deleted}
    found = list(differing(Side(one), Side(other), Span(-5, 1001)))
    different = set(one.items()) ^ set(other.items())
    for _, cursor in different:
        assert sum(span.low <= cursor < span.high for span in found) == 1
    assert all(any(span.low <= cursor < span.high for _, cursor in different) for span in found)
    for span in found:
        held = Counter(side for side in (0, 1) for c in (one, other)[side].values() if span.low <= c < span.high)
        assert max(held.values()) <= 2 or span.high - span.low == 1


def test_equal_sides_are_read_once() -> None:
    one, other = Side({str(n): n for n in range(1000)}), Side({str(n): n for n in range(1000)})
    assert list(differing(one, other, Span(0, 1000))) == []
    assert (one.read, other.read) == (1000, 1000)


def test_the_sides_hash_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=30)

    class Meeting(Side):
        def digests(self, pieces: Pieces) -> dict[int, Digest]:
            both.wait()
            return super().digests(pieces)

    assert list(differing(Meeting({"a": 1}), Meeting({"a": 1}), Span(0, 10))) == []


def test_the_error_of_either_side_ends_the_search() -> None:
    class Failing(Side):
        def digests(self, pieces: Pieces) -> dict[int, Digest]:
            raise OSError("no answer")

    for one, other in ((Failing({}), Side({})), (Side({}), Failing({}))):
        with pytest.raises(OSError, match="no answer"):
            list(differing(one, other, Span(0, 10)))


def test_one_difference_reads_only_rows_near_it() -> None:
    one, other = Side({str(n): n for n in range(1000)}), Side({str(n): n for n in range(1000) if n != 500})
    assert [500 in range(span.low, span.high) for span in differing(one, other, Span(0, 1000))] == [True]
    assert one.read < 1250


def test_an_empty_span_has_no_differences() -> None:
    assert list(differing(Side({"a": 1}), Side({}), Span(5, 5))) == []


@given(st.lists(st.integers(0, 20), max_size=30, unique=True).map(sorted))
def test_adjacent_spans_are_joined(lows: list[int]) -> None:
    found = list(joined(Span(low, low + 1) for low in lows))
    assert [n for span in found for n in range(span.low, span.high)] == lows
    assert all(before.high < after.low for before, after in pairwise(found))


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_a_key_survives_the_round_trip_through_text(parts: list[str]) -> None:
    assert key_parts(joined_key(parts), len(parts)) == tuple(parts)


@given(st.lists(st.text("1:a"), min_size=2, max_size=2), st.lists(st.text("1:a"), min_size=2, max_size=2))
def test_different_keys_have_different_texts(one: list[str], other: list[str]) -> None:
    assert (joined_key(one) == joined_key(other)) == (one == other)
