"""How to copy orders and order_details with each tool, and where its copy is.

Each tool is configured as its documentation advises for an incremental copy by a cursor column. A note names what the
tool does not do without a licence. To add a tool, add a `Tool`, and `NAME.txt` with its versions.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import psycopg

from adventure.core.settings import Settings
from adventure.sources.postgres.decoder import is_installed

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).with_name("scripts")
TABLES = ("orders", "order_details")
NUMERICS = {
    "orders": ("sub_total", "tax_amt", "freight", "total_due"),
    "order_details": ("unit_price", "unit_price_discount", "line_total"),
    "items": ("price", "weight"),
}
"""Columns of type numeric without a precision; all tools that need a precision get this one."""
DECIMAL = "decimal(38,18)"
_OLD = "an old version: later ones fetch their program when they first run"


@dataclass(frozen=True)
class Job:
    """A copy to make."""

    settings: Settings
    """Settings of the source."""
    folder: Path
    """The tool's folder, the same for the first load and the increments."""
    environment: Path
    """The tool's virtual environment."""
    since: datetime
    """The largest cursor copied so far, for tools that do not store it."""

    @property
    def url(self) -> str:
        """Return the URL of the source, including the password."""
        s = self.settings
        password = s.postgres_password.get_secret_value()
        return f"postgresql://{s.postgres_user}:{password}@{s.postgres_host}:{s.postgres_port}/{s.postgres_db}"

    def program(self, name: str) -> str:
        """Return the path of a command in the tool's environment."""
        return str(self.environment / "bin" / name)


@dataclass(frozen=True)
class Tool:
    """A tool and how to run it."""

    name: str
    commands: Callable[[Job], Sequence[Sequence[str]]]
    """Returns the commands to run one after the other in the job's folder."""
    rows: Callable[[Path, str], str]
    """Returns DuckDB SQL that reads the copy, given the tool's folder and the table."""
    pins: Path | None = None
    """The pinned versions of its environment; None for the current environment."""
    variables: Callable[[Job], Mapping[str, str]] = field(default=lambda _job: {})
    note: str = ""

    @property
    def version(self) -> str:
        """Return the pinned version of the package that the tool's name begins with; `this one` for Adventure."""
        package = re.match(r"[a-z-]+", self.name)
        if self.pins is None or package is None:
            return "this one"
        [version] = re.findall(rf"^{package[0]}==([^\s;]+)", self.pins.read_text(encoding="utf-8"), re.MULTILINE)
        return str(version)


def _adventure(job: Job) -> Sequence[Sequence[str]]:
    types = {table: dict.fromkeys(NUMERICS[table], DECIMAL) for table in TABLES}
    keys = {"orders": "sales_order_id", "order_details": "sales_order_detail_id"}
    (job.folder / "pipeline.toml").write_text(
        "\n".join(
            f"[streams.{table}]\nsource = 'postgres'\nnamespace = 'public'\ntable = '{table}'\n"
            f"cursor = 'last_modified'\nkey = '{keys[table]}'\nstage = '{table}_stage'\n"
            f"raw_table = 'raw_ext.{table}_raw'\n"
            f"types = {{ {', '.join(f'{name} = {json.dumps(kind)}' for name, kind in types[table].items())} }}\n"
            for table in TABLES
        )
    )
    return [[job.program("python"), "-m", "adventure", "process"]]


def adventure_variables(job: Job) -> Mapping[str, str]:
    """Return the settings of an Adventure that works in the job's folder."""
    s = job.settings
    return {
        "POSTGRES_HOST": s.postgres_host,
        "POSTGRES_PORT": str(s.postgres_port),
        "POSTGRES_DB": s.postgres_db,
        "POSTGRES_USER": s.postgres_user,
        "POSTGRES_PASSWORD": s.postgres_password.get_secret_value(),
        "DATA_DIR": str(job.folder / "data"),
        "PIPELINE_FILE": str(job.folder / "pipeline.toml"),
        "PROCESSOR_INTERVAL_SEC": "0",
        "PYTHONPATH": str(ROOT),
    }


def _with_decoder(job: Job) -> Mapping[str, str]:
    """Return the variables of a command that finds the optional decoder, and nothing else of our environment."""
    import adventure_decoder

    found = job.folder / "decoder"
    shutil.copytree(Path(adventure_decoder.__file__).parent, found / "adventure_decoder", dirs_exist_ok=True)
    # Its watermarks are in a schema of their own, since the other Adventure copies the same tables.
    with psycopg.connect(job.url) as connection:
        connection.execute("create schema if not exists with_decoder")
    state = f"{job.url}?options=-csearch_path%3Dwith_decoder"
    return {**adventure_variables(job), "PYTHONPATH": f"{ROOT}{os.pathsep}{found}", "STATE_DSN": state}


def _dlt(backend: str) -> Callable[[Job], Sequence[Sequence[str]]]:
    def commands(job: Job) -> Sequence[Sequence[str]]:
        return [[job.program("python"), str(SCRIPTS / "dlt_copy.py"), backend, job.url, str(job.folder)]]

    return commands


def _sling(job: Job) -> Sequence[Sequence[str]]:
    streams = {}
    for table in TABLES:
        query = f"select * from {table} where last_modified > '{job.since}'"
        target = f"file://{job.folder}/{table}-{job.since:%Y%m%dT%H%M%S%f}.csv"
        streams[f"public.{table}"] = {"sql": query, "object": target}
    replication = {"source": "SALES", "target": "LOCAL", "defaults": {"mode": "full-refresh"}, "streams": streams}
    (job.folder / "replication.yaml").write_text(json.dumps(replication))
    return [[job.program("sling"), "run", "-r", str(job.folder / "replication.yaml")]]


def _sling_variables(job: Job) -> Mapping[str, str]:
    return {"SALES": f"{job.url}?sslmode=disable", "SLING_HOME_DIR": str(job.folder), "SLING_DISABLE_TELEMETRY": "TRUE"}


def _ingestr(job: Job) -> Sequence[Sequence[str]]:
    return [
        [
            *(job.program("ingestr"), "ingest", "--yes", "--source-uri", job.url, "--source-table", f"public.{table}"),
            *("--dest-uri", f"duckdb:///{job.folder}/copy.duckdb", "--dest-table", f"public.{table}"),
            *("--incremental-strategy", "append", "--incremental-key", "last_modified"),
            *(("--sql-exclude-columns", "unit_price_discount") if table == "order_details" else ()),
        ]
        for table in TABLES
    ]


def _ingestr_rows(folder: Path, table: str) -> str:
    # Read a copy of the file: another DuckDB version must not touch the original.
    copy = folder / "read.duckdb"
    shutil.copy(folder / "copy.duckdb", copy)
    return f"attach '{copy}' as ingestr (read_only); from ingestr.public.{table}"


def _rivet(job: Job) -> Sequence[Sequence[str]]:
    exports = [
        {
            "name": table,
            "table": f"public.{table}",
            "mode": "incremental",
            "cursor_column": "last_modified",
            "format": "parquet",
            "columns": dict.fromkeys(NUMERICS[table], DECIMAL),
            "destination": {"type": "local", "path": f"{job.folder}/{table}"},
        }
        for table in TABLES
    ]
    config = {"source": {"type": "postgres", "url_env": "SALES_URL"}, "exports": exports}
    (job.folder / "rivet.yaml").write_text(json.dumps(config))
    return [[job.program("rivet"), "run", "-c", "rivet.yaml"]]


def _pandas(job: Job) -> Sequence[Sequence[str]]:
    url = job.url.replace("postgresql:", "postgresql+psycopg2:")
    return [[job.program("python"), str(SCRIPTS / "pandas_copy.py"), url, str(job.since), str(job.folder)]]


def _parquet(pattern: str) -> Callable[[Path, str], str]:
    return lambda folder, table: f"from read_parquet('{folder}/{pattern.format(table)}', union_by_name = true)"


def _csv(folder: Path, table: str) -> str:
    # Set explicitly, since a guess from the first rows may be wrong for a value with two lines.
    form = "header = true, all_varchar = true, delim = ',', quote = '\"', escape = '\"', parallel = false"
    return f"from read_csv('{folder}/{table}-*.csv', {form})"


def pins(name: str) -> Path:
    """Return the file with the pinned versions of a tool."""
    return Path(__file__).with_name(f"{name}.txt")


ADVENTURE = Tool(
    "Adventure",
    _adventure,
    _parquet("data/stages/{}_stage/*/*.parquet"),
    ROOT / "requirements" / "processor.lock",
    adventure_variables,
)
TOOLS = (
    *([replace(ADVENTURE, name="Adventure, with its decoder", variables=_with_decoder)] if is_installed() else []),
    ADVENTURE,
    Tool(
        "rivet-cli",
        _rivet,
        _parquet("{}/*.parquet"),
        pins("rivet"),
        lambda job: {"SALES_URL": job.url},
    ),
    Tool("dlt, connectorx", _dlt("connectorx"), _parquet("out/sales/{}/*.parquet"), pins("dlt")),
    Tool("dlt, pyarrow", _dlt("pyarrow"), _parquet("out/sales/{}/*.parquet"), pins("dlt")),
    Tool(
        "sling",
        _sling,
        _csv,
        pins("sling"),
        _sling_variables,
        f"to CSV; remembers no cursor without a licence; {_OLD}",
    ),
    Tool(
        "ingestr",
        _ingestr,
        _ingestr_rows,
        pins("ingestr"),
        note=f"to DuckDB; stops at a numeric of more than nine decimals, so without unit_price_discount; {_OLD}",
    ),
    Tool("pandas.read_sql → to_csv", _pandas, _csv, pins("pandas"), note="remembers no cursor"),
)

QUIET = {
    "INGESTR_DISABLE_TELEMETRY": "true",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "DO_NOT_TRACK": "1",
    "PATH": os.environ["PATH"],
    "LANG": "C.UTF-8",
}
"""The environment of every command, plus its own HOME; nothing of the shell's environment is passed on."""
