"""A third source or warehouse is a folder and one entry in `adventure.core.kinds`; nothing else names a kind."""

import ast
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from adventure import factory
from adventure.core.clock import utc_now
from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError
from adventure.core.kinds import SOURCES, WAREHOUSES, WarehouseKind
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.dashboard.pipeline import state as dashboard_state
from adventure.destinations.duckdb import kind as duckdb_kind
from adventure.destinations.duckdb.published import DuckDBDataset
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.kind import WarehouseModule
from adventure.destinations.snowflake import kind as snowflake_kind
from adventure.monitoring.checks.flow import flow_checks
from adventure.monitoring.health.rules import find_problems
from adventure.monitoring.live import read_state
from adventure.monitoring.status import print_status
from adventure.processor.run import process_once
from adventure.reconcile.run import reconcile
from adventure.sources.http import kind as http_kind
from adventure.sources.kind import ProposingModule, SourceModule
from adventure.sources.mongo import kind as mongo_kind
from adventure.sources.postgres import kind as postgres_kind
from tests import toy_source

PACKAGE = Path(factory.__file__).parent
FOLDERS = {
    name: PACKAGE.parent / kind.module.rpartition(".")[0].replace(".", "/")
    for name, kind in (SOURCES | WAREHOUSES).items()
}
PREFIXES = {prefix for kind in SOURCES.values() for prefix in (kind.settings, kind.settings.lower())}
NAMES = {*FOLDERS, *(kind.title for kind in SOURCES.values()), *PREFIXES}

NO_KINDS = {
    "core/extras.py": "an extra has the name of the kind that needs it",
    "core/packaged.py": "the folder of the scripts has the name of the kind",
    "demo/run.py": "the package DuckDB has the name of the kind",
}
"""Modules that list such names for something else."""

IMPORT_KINDS = [PACKAGE / "demo", PACKAGE / "cli" / "snowflake.py"]
"""The demo makes its data with the drivers of both sources; `adventure snowflake` is a command for that kind alone."""

# mypy finds here whether each module has the functions of its interface.
SOURCE_MODULES: list[SourceModule] = [postgres_kind, mongo_kind, http_kind, toy_source]
PROPOSING_MODULES: list[ProposingModule] = [postgres_kind, mongo_kind]
WAREHOUSE_MODULES: list[WarehouseModule] = [duckdb_kind, snowflake_kind]


def named_kinds(code: str) -> Iterator[tuple[int, str]]:
    """Yield line and name where a string that is a kind's name is compared, looked up, listed, or kept for that."""
    for node in ast.walk(ast.parse(code)):
        found: Sequence[ast.expr | None] = ()
        match node:
            case ast.Compare():
                found = [node.left, *node.comparators]
            case ast.MatchValue() | ast.Assign():
                found = [node.value]
            case ast.Tuple() | ast.List() | ast.Set():
                found = [*node.elts]
            case ast.Dict():
                found = [*node.keys]
            case ast.Subscript():
                found = [node.slice]
            case ast.Call(func=ast.Name(id="dict")):
                found = [ast.Constant(each.arg, lineno=each.lineno) for each in node.keywords]
            case ast.Call(func=ast.Attribute(attr="split", value=ast.Constant(value=str(words), lineno=line))):
                found = [ast.Constant(word, lineno=line) for word in words.split()]
            case ast.Call(func=ast.Attribute(attr="startswith" | "endswith" | "get" | "removeprefix" | "index")):
                found = [*node.args]
        if any(isinstance(each, ast.Constant) and each.value == "https" for each in ast.walk(node)):
            continue  # the scheme of an address
        for each in found:
            if isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value in NAMES:
                yield each.lineno, each.value


@pytest.mark.parametrize(
    "code",
    [
        'stream.source == "mongo"',
        '"mongo" != stream.kind.title',
        'stream.source in ("postgres", "oracle")',
        'stream.source not in {"postgres"}',
        'stream.kind.title == "MongoDB"',
        'match stream.source:\n    case "mongo" | "oracle": pass',
        'settings.warehouse.startswith("snowflake")',
        '{"duckdb": 1}[settings.warehouse]',
        'dialects.get("duckdb")',
        'stream.kind is SOURCES["postgres"]',
        'Source = Literal["mongo", "oracle"]',
        'MONGO = "mongo"',
        'TABLES = ("postgres", "mongo")',
        'stream.source == "http"',
        'kinds = tuple(kind for kind, url in (("postgres", postgres), ("mongo", mongo)) if url)',
        'for kind in ["postgres", "mongo"]: open_probe(kind)',
        '{kind: 0 for kind in "postgres mongo".split()}',
        'open_all({"duckdb", "snowflake"})',
        'addresses = dict(postgres="", mongo="")',
        'read(kinds=("mongo",))',
        'name.startswith(("postgres_", "state_"))',
    ],
)
def test_a_name_that_is_compared_is_found(code: str) -> None:
    assert list(named_kinds(code))


@pytest.mark.parametrize(
    "code",
    [
        '"""mongo"""',
        'raise ValueError("no mongo")',
        'find_spec("duckdb")',
        'folder / "postgres"',
        'app(name="snowflake")',
        'url.scheme in ("http", "https")',
    ],
)
def test_a_name_that_is_not_compared_is_left_alone(code: str) -> None:
    assert not list(named_kinds(code))


def others(*, than: Path) -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if not path.is_relative_to(than)]


def test_no_module_compares_the_name_of_a_kind() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for path in others(than=PACKAGE / "core" / "kinds.py")
        for line, name in named_kinds(path.read_text(encoding="utf-8"))
        if not (name in FOLDERS and path.is_relative_to(FOLDERS[name]))
        and path.relative_to(PACKAGE).as_posix() not in NO_KINDS
    ]
    assert found == []


@pytest.mark.parametrize("side", ["sources", "destinations"])
def test_only_folders_of_kinds_import_from_one(side: str) -> None:
    of_kinds = [folder for folder in FOLDERS.values() if folder.parent.name == side]
    prefixes = tuple(f"adventure.{side}.{folder.name}" for folder in of_kinds)
    found = [
        f"{path.relative_to(PACKAGE)}: {module}"
        for path in PACKAGE.rglob("*.py")
        if not any(path.is_relative_to(each) for each in [*of_kinds, *IMPORT_KINDS])
        for module in imports(path)
        if module.startswith(prefixes)
    ]
    assert found == []


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_kind_with_an_address_reads_addresses() -> None:
    assert [import_module(kind.module) for kind in SOURCES.values() if kind.address] == PROPOSING_MODULES


def test_a_third_source_needs_no_other_module(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SOURCES, "toy", toy_source.KIND)
    rows: dict[str, datetime] = {}
    monkeypatch.setattr(toy_source, "ROWS", rows)
    pipeline = tmp_path / "toys.toml"
    pipeline.write_text(
        '[streams.toys]\nsource = "toy"\nnamespace = "shop"\ntable = "toys"\ncursor = "at"\nkey = "id"\n'
        'stage = "toys_stage"\nraw_table = "raw_ext.toys_raw"\n'
    )
    settings = settings.model_copy(update={"pipeline_file": pipeline, "alert_lag_sec": 3600.0})
    streams = load_streams(settings)
    (stream,) = streams
    begun = utc_now() - timedelta(minutes=10)
    rows |= {f"no. {number}": begun + timedelta(seconds=number) for number in range(20)}
    warehouse = DuckDBWarehouse(settings)

    assert process_once(settings, streams).streams[0].rows_staged == 20
    assert warehouse.load(stream).rows == 20
    rows["no. 7"] = begun + timedelta(seconds=100)
    process_once(settings, streams)
    warehouse.load(stream)
    held = warehouse.execute("select json_extract_string(raw, '$.id'), count(*) from raw_ext.toys_raw group by 1")
    assert dict(held) == dict.fromkeys(rows, 1) | {"no. 7": 2}
    warehouse.cleanup(stream)

    assert not [check for check in flow_checks(settings, warehouse, stream) if check.failed]
    assert list(print_status(settings, streams)) == []
    assert "No problems found." in capsys.readouterr().out
    (report,) = reconcile(settings, streams)
    assert report.result
    assert (report.result.rows, report.is_clean) == (20, True)

    del rows["no. 3"]
    rows["no. 20"] = begun + timedelta(seconds=20)
    rows["no. 21"] = begun + timedelta(hours=-2)
    (check, *_) = flow_checks(settings, warehouse, stream)
    assert (check.expected, check.actual, check.failed) == ("21", "20", True)
    (report,) = reconcile(settings, streams, repair=True)
    assert report.result
    assert {verdict: report.result.count(verdict) for verdict in ("missing", "deleted")} == {"missing": 2, "deleted": 1}
    assert report.is_clean
    warehouse.load(stream)
    warehouse.cleanup(stream)
    assert warehouse.live_key_count(stream) == 21
    assert not [check for check in flow_checks(settings, warehouse, stream) if check.failed]

    rows["no. 22"] = utc_now() - timedelta(seconds=2)
    late = settings.model_copy(update={"alert_lag_sec": 1.0})
    (problem,) = find_problems(read_state(late, streams, warehouse))
    assert problem.sentence.startswith("toys: rows wait at the source since ")

    warehouse.publish_report(streams, interval=None)
    (shown,) = dashboard_state.read(DuckDBDataset(settings.report_path, "").query).report.streams
    assert (shown.source, shown.source_table, shown.raw_rows) == ("toy", "shop.toys", 24)


def test_a_third_warehouse_needs_no_other_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = ModuleType("toy_warehouse")
    stage, warehouse, sales, report = object(), object(), object(), SimpleNamespace(is_metered=True)
    vars(module).update(
        SALES_DIALECT={"today": "today()"},
        open_stage=lambda _: stage,
        open_warehouse=lambda _, retry_for: warehouse,
        dashboard_environment=lambda _: {"TOY": "1"},
        open_sales=lambda: sales,
        open_report=lambda settings=None: report,
    )
    monkeypatch.setitem(sys.modules, "toy_warehouse", module)
    monkeypatch.setitem(WAREHOUSES, "toy", WarehouseKind("toy", "toy_warehouse"))
    settings = load_settings(warehouse="toy", data_dir=tmp_path)

    assert factory.open_stage(settings) is stage
    assert factory.open_warehouse(settings) is warehouse
    assert factory.sales_dialect(settings) == {"today": "today()"}
    for name, value in factory.dashboard_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert factory.open_sales() is sales
    assert factory.open_report() is report


@pytest.mark.parametrize("name", [*WAREHOUSES, "oracle"])
def test_a_warehouse_is_one_of_the_kinds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE", name)
    message = "WAREHOUSE: must be 'duckdb' or 'snowflake'"
    with nullcontext() if name in WAREHOUSES else pytest.raises(ConfigError, match=message):
        load_settings()
