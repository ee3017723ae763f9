"""Test how pipeline.toml is read and how errors in it are reported."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream, find_stream

ROOT = Path(__file__).parent.parent

GOOD = """
[streams.returns]
source = "postgres"
namespace = "shop"
table = "Returned goods"
cursor = "changed_at"
key = ["order_id", "line"]
stage = "returns_stage"
raw_table = "raw_ext.returns_raw"
lookback = 1.5
types = { amount = "decimal(20,4)" }
"""


def settings_with(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(pipeline_file=path)


def test_the_shipped_file_has_the_three_streams() -> None:
    streams = load_streams(load_settings(pipeline_file=ROOT / "pipeline.toml", orders_stage="elsewhere"))
    assert [stream.name for stream in streams] == ["orders", "order_details", "chat_logs"]
    assert streams[0].stage == "elsewhere"
    assert streams[2].location == "support_logs.chats"


@pytest.mark.parametrize(("url", "expected"), [("", []), ("http://127.0.0.1:8600/v1", ["reviews"])])
def test_a_stream_is_left_out_without_the_setting_that_it_needs(url: str, expected: list[str]) -> None:
    streams = load_streams(load_settings(pipeline_file=ROOT / "pipeline.toml", api_url=url))
    assert [stream.name for stream in streams if stream.source == "http"] == expected


def test_every_key_is_read(tmp_path: Path) -> None:
    assert load_streams(settings_with(tmp_path, GOOD)) == (
        Stream(
            name="returns",
            source="postgres",
            namespace="shop",
            table="Returned goods",
            cursor="changed_at",
            key=("order_id", "line"),
            stage="returns_stage",
            raw_table="raw_ext.returns_raw",
            lookback=timedelta(seconds=1.5),
            types={"amount": "decimal(20,4)"},
        ),
    )


WITHOUT_CURSOR = GOOD.replace('cursor = "changed_at"', "").replace("lookback = 1.5", "")


@pytest.mark.parametrize(
    ("added", "mode", "reason"),
    [
        ("", "auto", ""),
        ("interval = 60", "auto", ""),
        ('where = "line > 1"', "snapshot", "it has a condition (where), which the log does not know"),
        ('mode = "log"', "log", ""),
        ('mode = "snapshot"', "snapshot", ""),
    ],
)
def test_a_stream_without_a_cursor_is_read_by_the_log_or_whole(
    tmp_path: Path, added: str, mode: str, reason: str
) -> None:
    (stream,) = load_streams(
        settings_with(tmp_path, WITHOUT_CURSOR.replace("[streams.returns]", f"[streams.returns]\n{added}"))
    )
    assert (stream.mode, stream.mode_reason, stream.has_read_at) == (mode, reason, True)


def test_a_stream_without_a_cursor_and_a_key_is_replaced_whole(tmp_path: Path) -> None:
    (stream,) = load_streams(settings_with(tmp_path, WITHOUT_CURSOR.replace('key = ["order_id", "line"]', "")))
    assert (stream.mode, stream.mode_reason) == ("snapshot", "it has no key, and the log names rows by their key")
    assert stream.is_replaced


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('cursor = "changed_at"', "", "streams.returns: cursor: Field required"),
        ('source = "postgres"', 'source = "oracle"', "streams.returns: source: must be 'postgres' or 'mongo'"),
        ("lookback = 1.5", "lookback = -1", "lookback"),
        ("lookback = 1.5", "lookbak = 1", "lookbak is not a key of this table"),
        ('stage = "returns_stage"', 'stage = "../up"', "stage has characters"),
        ('"raw_ext.returns_raw"', '"returns_raw"', "raw_table has characters"),
        ('"decimal(20,4)"', '"float"', "types.amount"),
        ('key = ["order_id", "line"]', "key = []", "key"),
        ('table = "Returned goods"', 'table = "${NO_SUCH}"', r"streams.returns.table: \$\{NO_SUCH\} is not a setting"),
        ('table = "Returned goods"', 'table = "${POSTGRES_PASSWORD}"', "is not a setting that can be used here"),
        (
            "lookback = 1.5",
            'mode = "guess"',
            r'streams.returns.mode: PostgreSQL has no mode .guess.\. Write "cursor" or "log" or "append" or "snapshot"',
        ),
        ('source = "postgres"', 'source = "mongo"\nmode = "cursor"', r"MongoDB has no mode .cursor.\. Remove mode"),
        ("lookback = 1.5", 'columns = ["order_id", "line"]', "columns leaves out changed_at"),
        ("lookback = 1.5", 'exclude = ["line"]', "exclude names line, which is its cursor or key"),
        ("lookback = 1.5", 'columns = ["line"]\nexclude = ["x"]', "columns and exclude are both given"),
        ("lookback = 1.5", 'hash = ["changed_at"]', "hash names its cursor changed_at"),
        ("lookback = 1.5", 'hash = ["mail"]', "hash needs a key, and HASH_KEY is not set"),
        ("lookback = 1.5", 'hash = ["mail"]\nexclude = ["mail"]', "hash names mail, which the stream does not read"),
        ("lookback = 1.5", 'needs = "NO_SUCH"', "streams.returns.needs: NO_SUCH is not a setting"),
        ("lookback = 1.5", "needs = 1", "needs"),
        ("lookback = 1.5", "start = 2026-01-01T00:00:00Z", "start has an offset"),
        ("lookback = 1.5", "interval = 60", "interval is for snapshots"),
        ("lookback = 1.5", 'mode = "snapshot"', "cursor has no meaning with .snapshot"),
        ("[streams.returns]", '[streams."re turns"]', "a stream's name is"),
        ("[streams.returns]", "[streams.returns", "is not valid TOML"),
        ("[streams.returns]", "[stream.returns]", "names no stream"),
    ],
)
def test_an_error_names_file_and_key(tmp_path: Path, old: str, new: str, named: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=named) as caught:
        load_streams(settings_with(tmp_path, GOOD.replace(old, new)))
    assert "pipeline.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-01-01", datetime(2026, 1, 1)),
        ('"2026-01-01"', datetime(2026, 1, 1)),
        ('"2026-01-01 12:30"', datetime(2026, 1, 1, 12, 30)),
        ("2026-01-01T12:30:00", datetime(2026, 1, 1, 12, 30)),
    ],
)
def test_a_start_is_a_date_or_a_time(tmp_path: Path, written: str, read: datetime) -> None:
    (stream,) = load_streams(settings_with(tmp_path, GOOD.replace("lookback = 1.5", f"start = {written}")))
    assert stream.start == read


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml does not exist"):
        load_streams(load_settings(pipeline_file=tmp_path / "absent.toml"))


@pytest.mark.parametrize("shared", ["stage", "raw_table"])
def test_streams_may_not_share_a_stage_or_raw_table(tmp_path: Path, shared: str) -> None:
    other = GOOD.replace("streams.returns", "streams.other")
    if shared == "stage":
        other = other.replace("raw_ext.returns_raw", "raw_ext.other_raw")
    else:
        other = other.replace("returns_stage", "other_stage")
    with pytest.raises(ConfigError, match=f"returns and other share the {shared}"):
        load_streams(settings_with(tmp_path, GOOD + other))


@pytest.mark.parametrize(
    ("key", "names", "replaced"), [('key = "id"', ("id",), False), ("interval = 60", ("_row_number",), True)]
)
def test_a_snapshot_needs_no_cursor_and_no_key(
    tmp_path: Path, key: str, names: tuple[str, ...], replaced: bool
) -> None:
    text = GOOD.replace('cursor = "changed_at"', 'mode = "snapshot"').replace('key = ["order_id", "line"]', key)
    (stream,) = load_streams(settings_with(tmp_path, text.replace("lookback = 1.5", "")))
    assert (stream.cursor, stream.key, stream.is_replaced) == ("_read_at", names, replaced)


def test_the_name_of_a_view_is_its_own(tmp_path: Path) -> None:
    other = (
        GOOD.replace("streams.returns", "streams.other")
        .replace("returns_stage", "o")
        .replace("returns_raw", "returns_latest")
    )
    with pytest.raises(ConfigError, match=r"the view raw_ext\.returns_latest of stream returns has the name of"):
        load_streams(settings_with(tmp_path, GOOD + other))


def test_find_stream_lists_the_names_when_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no stream named order.*returns"):
        find_stream(load_streams(settings_with(tmp_path, GOOD)), "order")


REFERRING = """
[streams.lines]
source = "postgres"
namespace = "shop"
table = "lines"
cursor = "changed_at"
key = "id"
stage = "lines_stage"
raw_table = "raw_ext.lines_raw"
references = { returns = ["order", "line"] }
"""


def test_references_are_read(tmp_path: Path) -> None:
    _, lines = load_streams(settings_with(tmp_path, GOOD + REFERRING))
    assert lines.references == {"returns": ("order", "line")}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (REFERRING + GOOD, r"streams\.lines\.references\.returns: no stream of that name comes before it"),
        (GOOD + REFERRING.replace("returns =", "lines ="), "no stream of that name comes before it"),
        (GOOD + REFERRING.replace('"postgres"', '"mongo"'), "only tables of PostgreSQL are read in one snapshot"),
        (GOOD + REFERRING.replace('["order", "line"]', '"order"'), "names 1 columns where the key of returns has 2"),
    ],
)
def test_unsupported_references_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_streams(settings_with(tmp_path, text))
