"""The procedure that Snowflake's tasks call, run against the emulator: loaded once, counted, cleaned up by name.

Windows are staged by `SnowflakeStage`, through the real connector, as the processor does.
"""

import gzip
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adventure.core.manifest import Column, StagedFile, Window
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.destinations.snowflake.dialect import SNOWFLAKE
from adventure.destinations.snowflake.scripts import layout
from adventure.destinations.snowflake.session import connect_snowflake
from adventure.destinations.snowflake.stage import SnowflakeStage
from tests.snowflake.emulator import staged_path
from tests.snowflake.procedure import Session, load_procedure, run

T0 = datetime(2026, 1, 1, 12, 0, 0, 123456)
ORDERS = ("orders", "columns", "orders_stage", "raw_ext.orders_raw", ["sales_order_id"], "last_modified")
CHATS = ("chat_logs", "documents", "chat_stage", "raw_ext.chat_logs_raw", ["_id"], "last_modified")

Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def query(session: Session) -> Query:
    return lambda statement: session.sql(statement).collect()


@pytest.fixture
def stage(snowflake_settings: Settings) -> SnowflakeStage:
    return SnowflakeStage(snowflake_settings)


@pytest.fixture
def put(stage: SnowflakeStage, tmp_path: Path) -> Callable[..., Window]:
    """Stages a window of these files; a table as Parquet, lines as compressed NDJSON."""

    def put_window(
        number: int = 1, task: tuple[Any, ...] = ORDERS, promised: int | None = None, **contents: Any
    ) -> Window:
        folder = tmp_path / str(number)
        folder.mkdir()
        files: dict[str, StagedFile] = {}
        columns: tuple[Column, ...] = (Column("raw", "json"),)
        for kind, content in contents.items():
            if isinstance(content, pa.Table):
                path, columns = (
                    folder / "part-00000.parquet",
                    tuple(Column(f.name, str(f.type)) for f in content.schema),
                )
                pq.write_table(content, path)
            else:
                path = folder / ("part-00000.ndjson.gz" if kind == "data" else f"{kind}.ndjson.gz")
                path.write_bytes(gzip.compress(b"".join(orjson.dumps(line) + b"\n" for line in content)))
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rows = promised if promised is not None and kind == "data" else len(content)
            files[kind] = StagedFile(path.name, rows, path.stat().st_size, digest)
        high = T0 + timedelta(hours=number)
        data = (files["data"],) if "data" in files else ()
        window = Window(
            task[0], task[2], T0, high, f"{number:08x}", data, files.get("rejects"), columns, high, high, "horizon",
            files.get("deletes"),
        )  # fmt: skip
        for path in sorted(folder.iterdir()):
            stage.put(window.stage, window.id, path)
        stage.commit(window)
        stage.announce(window.stage)
        return window

    return put_window


def orders(*ids: str, **columns: Any) -> pa.Table:
    moments = pa.array([T0] * len(ids), pa.timestamp("us"))
    return pa.table({"sales_order_id": list(ids), "last_modified": moments, **columns})


def test_rows_arrive_exactly_with_where_they_came_from(
    session: Session, query: Query, put: Callable[..., Window]
) -> None:
    total = Decimal("123456789012345678.123456789")
    window = put(data=orders("a", "b", sub_total=pa.array([total, None], pa.decimal128(38, 9))))
    assert run(session, "load", *ORDERS) == "2 rows, 1 files"
    label = f"orders_stage/{window.id}/part-00000.parquet"
    assert query(
        "select sales_order_id, sub_total, last_modified, _file, _file_row, _deleted_at from orders_raw order by 1"
    ) == [
        ("a", total, T0, label, 1, None),
        ("b", None, T0, label, 2, None),
    ]
    assert query('select stream, window_id, kind, "ROWS", bytes, sha256, low, high, mode from load_history') == [
        ("orders", window.id, "data", 2, window.files[0].bytes, window.files[0].sha256, T0, window.high, "horizon")
    ]


def test_rows_and_ledger_entries_go_together(session: Session, query: Query, put: Callable[..., Window]) -> None:
    put(1, data=orders("a"))
    put(2, data=orders("b"), promised=7)
    put(3, data=orders("c"))
    with pytest.raises(Exception, match=r"holds 1 rows where window\.json promises 7"):
        run(session, "load", *ORDERS)
    assert query("select sales_order_id from orders_raw order by 1") == [("a",), ("c",)]
    assert query("select count(*) from load_history") == [(2,)]
    assert query("select outcome, message like '%promises 7%' from task_history") == [("failed", True)]


def test_cleanup_leaves_a_window_whose_counts_differ(
    session: Session, query: Query, put: Callable[..., Window], stage: SnowflakeStage
) -> None:
    window = put(data=orders("a"))
    run(session, "load", *ORDERS)
    query('update load_history set "ROWS" = 9')
    assert run(session, "cleanup", *ORDERS) == "0 rows, 0 files"
    assert stage.windows("orders_stage") == [window]


def test_cleanup_leaves_what_a_window_does_not_list(
    session: Session, put: Callable[..., Window], stage: SnowflakeStage, tmp_path: Path
) -> None:
    window = put(data=orders("a"))
    run(session, "load", *ORDERS)
    late = tmp_path / "part-00000.parquet.late"
    late.write_bytes(b"somebody else's")
    stage.put("orders_stage", window.id, late)
    run(session, "cleanup", *ORDERS)
    assert [entry.path for entry in stage.entries("orders_stage")] == [f"orders_stage/{window.id}/{late.name}"]


@pytest.mark.parametrize(("damage", "sentence"), [("deleted", "is missing"), ("longer", "where window.json promises")])
def test_a_changed_file_is_named_and_the_others_are_loaded(
    session: Session, query: Query, put: Callable[..., Window], snowflake_settings: Settings, damage: str, sentence: str
) -> None:
    window = put(1, data=orders("a"))
    put(2, data=orders("b"))
    path = staged_path(f"@raw_ext.ORDERS_STAGE/{window.id}/part-00000.parquet", snowflake_settings.snowflake_database)
    path.unlink() if damage == "deleted" else path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(Exception, match=f"{window.id}/part-00000.parquet .*{sentence}"):
        run(session, "load", *ORDERS)
    assert query("select sales_order_id from orders_raw") == [("b",)]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda w: orjson.loads(w.to_json()) | {"files": orjson.loads(w.to_json())["files"] * 2}, "lists a file twice"),
        (lambda w: orjson.loads(w.to_json()) | {"columns": [{"name": "id", "type": "uint8"}]}, "has the type uint8"),
        (lambda w: orjson.loads(w.to_json()) | {"high": 7}, "TypeError"),
        (lambda _: [], "TypeError"),
    ],
)
def test_a_damaged_manifest_waits_alone(
    session: Session,
    query: Query,
    put: Callable[..., Window],
    snowflake_settings: Settings,
    change: Callable[[Window], Any],
    fault: str,
) -> None:
    window = put(1, data=orders("a"))
    put(2, data=orders("b"))
    path = staged_path(f"@raw_ext.ORDERS_STAGE/{window.id}/window.json", snowflake_settings.snowflake_database)
    path.write_bytes(orjson.dumps(change(window)))
    with pytest.raises(Exception, match=f"{window.id}/window.json is not a window's manifest: .*{fault}"):
        run(session, "load", *ORDERS)
    assert query("select sales_order_id from orders_raw") == [("b",)]
    run(session, "cleanup", *ORDERS)


def test_a_load_ends_though_windows_keep_arriving_and_the_next_one_is_woken_for_them(
    snowflake_settings: Settings, session: Session, query: Query, put: Callable[..., Window]
) -> None:
    numbers = iter(range(1, 100))
    statements: list[str] = []

    class Hurried(Session):
        """Between any look at the stage and the transaction, another window arrives."""

        def sql(self, statement: str, params: Any = ()) -> Any:
            statements.append(statement)
            if statement == "begin transaction":
                number = next(numbers)
                put(number, data=orders(str(number)))
            return session.sql(statement, params)

    put(next(numbers), data=orders("1"))
    with connect_snowflake(snowflake_settings) as connection:
        run(Hurried(connection), "load", *ORDERS)
    assert not advanced(statements), "the stream moved past windows that are not loaded"
    assert query("select sales_order_id from orders_raw order by 1") == [(str(n),) for n in range(1, 6)]
    run(session, "load", *ORDERS)
    assert query("select sales_order_id from orders_raw order by 1") == [(str(n),) for n in range(1, 8)]


def advanced(statements: list[str]) -> bool:
    """Whether a transaction that reads the stream of the stage's files was committed."""
    reads = [place for place, statement in enumerate(statements) if "seen_files" in statement]
    ends = [next(each for each in statements[place:] if each in ("commit", "rollback")) for place in reads]
    return "commit" in ends


class Recorded(Session):
    """Keeps the statements."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.statements: list[str] = []

    def sql(self, statement: str, params: Any = ()) -> Any:
        self.statements.append(statement)
        return super().sql(statement, params)


@pytest.mark.parametrize("damaged", [None, 1, 4, 5])
def test_a_backlog_is_loaded_in_pieces_and_a_window_that_fails_stops_no_other(
    snowflake_settings: Settings, query: Query, put: Callable[..., Window], damaged: int | None
) -> None:
    procedure = load_procedure()
    procedure["COPY_FILES"] = 3
    for number in range(1, 6):
        put(number, data=orders(str(number)), promised=7 if number == damaged else None)
    with connect_snowflake(snowflake_settings) as connection:
        session = Recorded(connection)
        if damaged:
            with pytest.raises(Exception, match=r"holds 1 rows where window\.json promises 7"):
                procedure["run"](session, "load", *ORDERS)
        else:
            assert procedure["run"](session, "load", *ORDERS) == "5 rows, 5 files"
    loaded = [(str(number),) for number in range(1, 6) if number != damaged]
    assert query("select sales_order_id from orders_raw order by 1") == loaded
    assert query("select count(*) from load_history") == [(len(loaded),)]
    assert advanced(session.statements) == (damaged is None), "a window that failed keeps the task due"


def test_windows_of_different_shapes_are_loaded_together(
    session: Session, query: Query, put: Callable[..., Window]
) -> None:
    put(1, data=orders("a"))
    put(2, data=orders("b", note=pa.array([r"it's \ fine"])))
    put(3, data=orders("c", "d"), rejects=[{"key": "[1]", "reason": "no date", "row": "{}"}])
    assert run(session, "load", *ORDERS) == "4 rows, 4 files"
    assert query("select sales_order_id, note, _file_row from orders_raw order by 1") == [
        ("a", None, 1),
        ("b", r"it's \ fine", 1),
        ("c", None, 1),
        ("d", None, 2),
    ]
    assert query("select stream, reason from rejected_rows") == [("orders", "no date")]
    assert run(session, "cleanup", *ORDERS) == "4 rows, 7 files"


def test_documents_and_their_deletes(session: Session, query: Query, put: Callable[..., Window]) -> None:
    document = {"_id": "a", "rating": 5, "messages": [{"text": "it's \\ fine"}], "big": 9007199254740993}
    put(task=CHATS, data=[document], deletes=[{"key": {"_id": "b"}, "deleted_at": "2026-02-01T00:00:00"}])
    run(session, "load", *CHATS)
    rows = query("select raw, _deleted_at from chat_logs_raw order by _file")
    assert [(orjson.loads(raw), deleted) for raw, deleted in rows] == [
        ({"_adventure_key": {"_id": "b"}, "_id": "b", "last_modified": "2026-02-01T00:00:00"}, datetime(2026, 2, 1)),
        (document, None),
    ]


def test_a_view_has_each_row_once_in_its_latest_version(
    session: Session, query: Query, put: Callable[..., Window]
) -> None:
    """It gets the columns that the raw table gets, and a deleted row leaves it."""
    put(1, data=orders("a", "b", "c"))
    assert run(session, "load", *ORDERS) == "3 rows, 1 files"
    assert query("select sales_order_id from orders_latest order by 1") == [("a",), ("b",), ("c",)]
    deleted = [{"key": {"sales_order_id": "b"}, "deleted_at": "2026-01-01T13:00:00"}]
    put(2, data=orders("a", note=pa.array(["new"])), deletes=deleted)
    assert run(session, "load", *ORDERS) == "1 rows, 2 files"
    assert query("select sales_order_id, note from orders_latest order by 1") == [("a", "new"), ("c", None)]


@pytest.mark.usefixtures("session")
def test_a_view_is_made_once(snowflake_settings: Settings, put: Callable[..., Window]) -> None:
    made = []
    for number in (1, 2):
        put(number, data=orders(str(number)))
        with connect_snowflake(snowflake_settings) as connection:
            recorded = Recorded(connection)
            load_procedure()["run"](recorded, "load", *ORDERS)
        made.append([each for each in recorded.statements if each.startswith("create or replace view")])
    assert [len(each) for each in made] == [1, 0]


def test_the_view_has_the_query_that_reconcile_reads(snowflake_settings: Settings) -> None:
    procedure = load_procedure()
    for stream in load_streams(snowflake_settings.model_copy(update={"api_url": "https://api.example.com"})):
        job = procedure["Job"](stream.name, layout(stream), stream.stage, stream.raw_table, stream.key, stream.cursor)
        assert procedure["latest"](SNOWFLAKE.raw_table(stream), job) == SNOWFLAKE.latest(stream)
