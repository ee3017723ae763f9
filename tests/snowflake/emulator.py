"""The pinned Snowflake emulator, patched where it lacks what the project uses or differs from Snowflake.

fakesnow 0.12.1 runs Snowflake's SQL on DuckDB, and the real connector speaks to it over HTTP. Each function here
patches one thing from outside; tests/snowflake/test_emulator.py fails when a patch is no longer needed.
"""

import gzip
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlglot
import uvicorn
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fakesnow import arrow, copy_into, cursor, info_schema, transforms
from fakesnow.server import app
from fakesnow.transforms import stage
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

from adventure.core.environment import load_settings
from adventure.core.settings import Settings
from adventure.demo.sandbox.process import free_port
from adventure.destinations.snowflake.session import connect_snowflake
from tests.snowflake import account
from tests.waiting import until

_ROOT = Path(__file__).parents[2]
Cursor = cursor.FakeSnowflakeCursor
sent: dict[str, list[str]] = {}
"""The statements that each database was sent, in their order."""

_WITHOUT_EFFECT = [
    r"^\s*(GRANT|REVOKE)\b",
    r"^\s*USE\s+(ROLE|WAREHOUSE|SECONDARY ROLES)\b",
    r"^\s*(CREATE|ALTER|DROP)\s+(OR REPLACE\s+)?(WAREHOUSE|ROLE|USER|RESOURCE MONITOR|STREAMLIT|TASK|PROCEDURE)\b",
    r"^\s*DROP DATABASE\b",
    r"^\s*EXECUTE IMMEDIATE\b",
    r"^\s*ALTER (SESSION|STAGE)\b",
]
"""Roles, warehouses and grants do not exist in the emulator: everybody may do everything, at no cost. Nor do apps,
tasks and procedures (whose texts tests/snowflake/account.py runs). A database is not dropped: sessions use it."""


@dataclass(frozen=True)
class Emulator:
    """A running emulator and how to reach it."""

    port: int
    """On loopback."""
    key: Path
    """A private key: the emulator takes any, and the connector wants one."""

    def new_database(self, name: str, data_dir: Path) -> Settings:
        """The settings of a pipeline with a new database, in which the schemas of snowflake/1_setup.sql are."""
        settings = load_settings(
            warehouse="snowflake",
            data_dir=data_dir / "adventure",
            dbt_dir=_ROOT / "dbt",
            pipeline_file=_ROOT / "pipeline.toml",
            snowflake_account="fakesnow",
            snowflake_database=name,
            snowflake_private_key_path=self.key,
            snowflake_host="127.0.0.1",
            snowflake_port=self.port,
            snowflake_protocol="http",
        )
        with connect_snowflake(settings) as connection, connection.cursor() as statement:
            statement.execute(f"create database if not exists {name}")
            for schema in (
                "raw_ext",
                "ecom",
                "new_mktg",
                "adventure_db",
                "dbt_dev",
                "dbt_prod",
                "dashboard",
                "account",
            ):
                statement.execute(f"create schema if not exists {name}.{schema}")
            for table in account.TABLES:
                statement.execute(table)
        account.begin(settings)
        return settings


@contextmanager
def running_emulator() -> Iterator[Emulator]:
    """Run the patched emulator in this process."""
    _patch()
    with tempfile.TemporaryDirectory() as folder, _server() as port:
        key = Path(folder) / "key.pem"
        key.write_bytes(
            rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        yield Emulator(port, key)


@contextmanager
def _server() -> Iterator[int]:
    """Serve on a free port of loopback. fakesnow's own `server` can wait for ever for its server's end."""
    port = free_port(None)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, name="emulator", daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(2)
        server.force_exit = True
        thread.join(2)


def staged_path(location: str, database: str) -> Path:
    """Where the emulator keeps a staged file: `@schema."STAGE"/window/file`."""
    schema, name, path = re.fullmatch(r'@(\w+)\."?(\w+)"?/(.+)', location).groups()  # type: ignore[union-attr]
    return Path(stage.internal_dir(f"{database.upper()}.{schema.upper()}.{name}"), path)


def _patch() -> None:
    if getattr(Cursor, "patched", False):
        return
    Cursor.patched = True  # type: ignore[attr-defined]
    for patch in (_qualified_temporary_tables, _array_functions, _text_of_a_variant, _hexadecimal):
        Cursor._transform = patch(Cursor._transform)
    transforms.merge = lambda merge_expr: [merge_expr]
    transforms.numeric_agg_implicit_cast = lambda expression: expression
    transforms.create_clone = _replacing_clone(transforms.create_clone)
    info_schema.insert_table_comment_sql = _no_comments_of_none(info_schema.insert_table_comment_sql)
    Cursor._execute = _native_merge(Cursor._execute)
    Cursor.execute = _statements(Cursor.execute)
    copy_into._params = _false_is_false(copy_into._params)
    copy_into._inserts = _transformations(copy_into._inserts)
    copy_into._source_urls = _listed_files(copy_into._source_urls)
    arrow.timestamp_to_sf_struct = _null_timestamps(arrow.timestamp_to_sf_struct)


def _qualified_temporary_tables(transform: Callable[..., Any]) -> Callable[..., Any]:
    """dbt's temporary tables have a schema before their name, which DuckDB's cannot: they are ordinary ones here."""

    def plain(node: exp.Expression) -> exp.Expression:
        properties = node.args.get("properties") if isinstance(node, exp.Create) else None
        table = node.find(exp.Table) if properties else None
        if table is not None and (table.catalog or table.db):
            kept = [each for each in properties.expressions if not isinstance(each, exp.TemporaryProperty)]
            node.set("properties", exp.Properties(expressions=kept) if kept else None)
        return node

    return lambda self, expression, params: transform(self, expression.transform(plain, copy=False), params)


def _array_functions(transform: Callable[..., Any]) -> Callable[..., Any]:
    """AS_ARRAY does not exist, and REDUCE takes no array of VARIANTs: its elements are JSON here, and so is the sum."""

    def patched(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Anonymous) and node.name.upper() == "AS_ARRAY":
            (value,) = node.expressions
            is_array = exp.EQ(this=_call("json_type", value.copy()), expression=exp.Literal.string("ARRAY"))
            return exp.case().when(is_array, value)
        if isinstance(node, exp.Reduce):
            function = node.args["merge"]
            total = function.expressions[0]
            body = function.this.transform(
                lambda name: exp.cast(name.copy(), "bigint") if name == total else name, copy=False
            )
            function.set("this", _call("to_json", body))
            elements = _call("json_transform", node.this, exp.Literal.string('["JSON"]'))
            summed = exp.Reduce(this=elements, initial=_call("to_json", node.args["initial"]), merge=function)
            return exp.cast(summed, "bigint")
        return node

    return lambda self, expression, params: transform(self, expression.transform(patched, copy=False), params)


def _text_of_a_variant(transform: Callable[..., Any]) -> Callable[..., Any]:
    """`cast(get(…) as varchar)` is a text without quotes, and NULL for JSON's null.

    A number keeps its digits: DuckDB makes it a double on its way to text and where `json` parses it, hence other ways.
    One that is nested deeper does pass through a double.
    """

    def path(node: exp.Expression) -> exp.GetExtract | None:
        if isinstance(node, exp.Cast) and node.to.is_type(*exp.DataType.TEXT_TYPES):
            return node.this if isinstance(node.this, exp.GetExtract) else None
        return None

    def patched(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.TryCast) and node.to.is_type(exp.DataType.Type.DECIMAL) and (found := path(node.this)):
            key, kind = found.expression.name, node.to.sql(dialect="duckdb")
            shape = exp.Literal.string(f'{{"{key}": "{kind}"}}')
            return _call("struct_extract", _call("json_transform", found.this, shape), exp.Literal.string(key))
        if isinstance(node, exp.ParseJSON) and not node.args.get("safe"):
            return exp.cast(node.this.transform(patched, copy=False), "json")
        if found := path(node):
            name = found.expression.name.replace("\\", "\\\\").replace('"', '\\"')
            keys = exp.Literal.string(f'$."{name}"')
            return _call("json_extract_string", found.this.transform(patched, copy=False), keys)
        return node

    return lambda self, expression, params: transform(self, expression.transform(patched, copy=False), params)


def _hexadecimal(transform: Callable[..., Any]) -> Callable[..., Any]:
    """TO_NUMBER with a format fails: `XXX` reads hexadecimal digits."""

    def patched(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.ToNumber) and re.fullmatch(
            "X+", node.args["format"].name if node.args.get("format") else ""
        ):
            digits = exp.DPipe(this=exp.Literal.string("0x"), expression=node.this, safe=True)
            return exp.cast(digits, "bigint")
        return node

    return lambda self, expression, params: transform(self, expression.transform(patched, copy=False), params)


def _call(function: str, *arguments: exp.Expression) -> exp.Anonymous:
    return exp.Anonymous(this=function, expressions=list(arguments))


def _replacing_clone(create_clone: Callable[..., Any]) -> Callable[..., Any]:
    """CREATE OR REPLACE … CLONE does not replace. (And sums are doubles: that transformation is left out above.)"""

    def replacing(expression: exp.Expression) -> exp.Expression:
        made: exp.Expression = create_clone(expression)
        if made is not expression:
            made.set("replace", expression.args.get("replace"))
        return made

    return replacing


def _no_comments_of_none(insert: Callable[..., str]) -> Callable[..., str]:
    """A temporary table gets the comment `None`, over which two sessions that create one of the same name clash."""

    def patched(catalog: str, schema: str, table: str, comment: str | None) -> str:
        if comment:
            return insert(catalog, schema, table, comment)
        return f"""
            delete from _fs_global._fs_information_schema._fs_tables_ext
            where ext_table_catalog = '{catalog}' and ext_table_schema = '{schema}' and ext_table_name = '{table}'
        """

    return patched


def _native_merge(execute: Callable[..., Any]) -> Callable[..., Any]:
    """DuckDB's own MERGE resolves unqualified names, and refuses two rows for one target, as Snowflake does."""
    words = {"INSERT": "inserted", "UPDATE": "updated", "DELETE": "deleted"}

    def merged(self: Any, expression: exp.Expression, params: Any = None) -> Any:
        if not isinstance(expression, exp.Merge):
            return execute(self, expression, params)
        expression.comments = None
        kinds: dict[Any, str] = {exp.Insert: "INSERT", exp.Update: "UPDATE"}
        possible = {kinds.get(type(when.args.get("then")), "DELETE") for when in expression.find_all(exp.When)}
        try:
            rows = self._duck_conn.execute(expression.sql(dialect="duckdb") + " returning merge_action", params or [])
            actions = [row[0] for row in rows.fetchall()]
        except duckdb.InvalidInputException as error:
            if "same target row more than once" in str(error):
                raise ProgrammingError(msg="Duplicate row detected during DML action", errno=100090) from error
            raise
        counts = ", ".join(
            f'{actions.count(kind)}::bigint as "number of rows {word}"'
            for kind, word in words.items()
            if kind in possible
        )
        result = sqlglot.parse_one(f"select {counts}", read="duckdb")
        result.set("merge_counts", True)
        return execute(self, result)

    return merged


def _statements(execute: Callable[..., Any]) -> Callable[..., Any]:
    """REMOVE, GET, and statements without effect; an error where it would be HTTP 500, which is retried for minutes."""

    def executed(self: Any, command: str, params: Any = None, *rest: Any, **options: Any) -> Any:
        if not getattr(self._conn, "patched", False):
            self._conn.patched = True
            self._conn.nop_regexes = [*(self._conn.nop_regexes or []), *_WITHOUT_EFFECT]
        sent.setdefault(str(self._conn.database).upper(), []).append(command)
        if found := re.match(r"^\s*REMOVE\s+(@\S+)(?:\s+PATTERN = '(.+)')?\s*$", command, re.IGNORECASE):
            return _remove(self, found[1], (found[2] or ".*").replace("\\\\", "\\"))
        if found := re.match(r"^\s*GET\s+(@\S+)\s+'?file://(\S+?)'?\s*;?\s*$", command, re.IGNORECASE):
            return _get(self, found[1], found[2])
        if command.startswith("create or replace task "):
            account.create_task(self._conn.database, command)
        if found := re.match(r"^\s*ALTER STAGE raw_ext\.\"(\w+)\" REFRESH\s*$", command, re.IGNORECASE):
            account.refresh(self._conn.database, found[1])
        if found := re.match(r"^\s*EXECUTE TASK (?:raw_ext\.)?(\w+)\s*$", command, re.IGNORECASE):
            _execute_task(self, found[1])
            command = "select 'EXECUTE TASK scheduled' as status"
        command = _copy_by_pattern(self, command)
        command = _staged_lines(self, command) or _deployable(_account_views(command, self._conn.database))
        try:
            return execute(self, command, params, *rest, **options)
        except (duckdb.Error, AssertionError, ValueError, AttributeError, NotImplementedError) as error:
            if not options.get("server"):
                raise
            raise ProgrammingError(msg=f"[emulator] {type(error).__name__}: {error}", errno=9999) from error

    return executed


def _copy_by_pattern(self: Any, command: str) -> str:
    """COPY's PATTERN, as the list of the files that match; and INCLUDE_METADATA, as columns of a query."""
    found = re.match(r"\s*copy into (\w+) .*from (@(\w+))/.*\bpattern = '(.+?)'", command, re.DOTALL)
    if found is None:
        return command
    table, location, name, pattern = found.groups()
    catalog, schema, stage_name = stage.parts_from_var(name, self._conn.database, self._conn.schema)
    root = Path(stage.internal_dir(f"{catalog}.{schema}.{stage_name}"))
    paths = sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file())
    files = [path for path in paths if re.fullmatch(pattern, path)]
    if not files:
        return "select 'Copy executed with 0 files processed.' as status"
    command = command.replace(f"pattern = '{found[4]}'", f"files = ({', '.join(map(repr, files))})")
    if included := re.search(r"match_by_column_name = case_insensitive\s+include_metadata = \((.+)\)", command):
        extra = dict(pair.split(" = ") for pair in included[1].split(", "))
        held = {row[0].lower() for row in self._duck_conn.execute(f"describe {table}").fetchall()}
        (parquet,) = {tuple(pq.read_schema(root / file).names) for file in files}
        names = [column for column in parquet if column.lower() in held]
        columns = ", ".join([*(f'"{column.upper()}"' for column in names), *extra])
        values = ", ".join([*(f'$1:"{column}"' for column in names), *extra.values()])
        command = command.replace(included[0], "").replace(
            f"copy into {table} from {location}/",
            f"copy into {table} ({columns}) from (select {values} from {location}/)",
        )
    return command


def _deployable(command: str) -> str:
    """Managed schemas are schemas, and a stream over a stage's directory is an empty table."""
    if found := re.match(r"^\s*create (or replace )?stream (?:if not exists )?(\S+) on stage ", command):
        create = "create or replace table" if found[1] else "create table if not exists"
        return f"{create} {found[2]} (relative_path varchar)"
    return command.replace(" with managed access", "") if command.startswith("create schema") else command


def _account_views(command: str, database: str) -> str:
    """What the account tells of tasks and credits, as the tables of tests/snowflake/account.py."""
    if runs := re.search(r"table\(information_schema\.task_history\(.*?\n\)\)", command, re.DOTALL):
        command = command.replace(runs[0], f"({account.task_history(database)}) as runs")
    if re.match(r"^\s*SHOW STREAMS IN SCHEMA raw_ext\s*$", command, re.IGNORECASE):
        return account.streams(database)
    command = command.replace("snowflake.account_usage.", "account.").replace("current_warehouse()", "'ADVENTURE_WH'")
    if monitor := re.match(r"^\s*SHOW RESOURCE MONITORS LIKE '(\w+)'\s*$", command, re.IGNORECASE):
        return f"select * from account.resource_monitors where name ilike '{monitor[1]}'"
    return command


def _execute_task(self: Any, name: str) -> None:
    """Asynchronously, as the account does it: the task's text from snowflake/, then what comes after it."""
    account.execute_task(self._conn.database, name)


def _remove(self: Any, location: str, pattern: str) -> Any:
    """By prefix, as Snowflake does, and then by pattern: a path that ends early takes its neighbours along."""
    name, _, path = location[1:].partition("/")
    catalog, schema, stage_name = stage.parts_from_var(name, self._conn.database, self._conn.schema)
    root = stage.internal_dir(f"{catalog}.{schema}.{stage_name}")
    removed = []
    for file in sorted(Path(root).rglob("*")):
        relative = file.relative_to(root).as_posix()
        if file.is_file() and relative.startswith(path) and re.fullmatch(pattern, f"/{relative}"):
            file.unlink()
            removed.append(f"('{stage_name.lower()}/{relative}', 'removed')")
    values = (
        f"(values {', '.join(removed)}) as t (name, result)"
        if removed
        else "(select '' as name, '' as result where false)"
    )
    Cursor._execute(self, sqlglot.parse_one(f"select * from {values}", read="duckdb"))
    return self


class _Download(dict[str, Any]):
    """What the connector needs to fetch a file from this machine's disk, whatever the server would put there."""

    def __setitem__(self, key: str, value: Any) -> None:
        """Stays as it is."""


def _get(self: Any, location: str, folder: str) -> Any:
    """GET of one file: the server answers with where it lies, and the connector copies it."""
    path = staged_path(location, self._conn.database)
    if not path.is_file():
        raise ProgrammingError(msg=f"File {location} does not exist", errno=253006)
    Cursor._execute(self, sqlglot.parse_one("select 'done' as status", read="duckdb"))
    self._last_transformed.args["put_stage_name"] = "stage"
    self._last_transformed.args["put_stage_data"] = _Download(
        command="DOWNLOAD",
        localLocation=folder,
        src_locations=[path.name],
        stageInfo={"locationType": "LOCAL_FS", "location": f"{path.parent}/", "path": "", "creds": {}},
        encryptionMaterial=[None],
        parallel=1,
        autoCompress=False,
        overwrite=True,
    )
    return self


def _false_is_false(params: Callable[..., Any]) -> Callable[..., Any]:
    """FORCE = FALSE and PURGE = FALSE are read as TRUE."""

    def read(expression: exp.Expression, *rest: Any, **options: Any) -> Any:
        given = expression.args.get("params") or []
        kept = [
            each
            for each in given
            if not (each.this.name.upper() in ("FORCE", "PURGE") and str(each.expression).upper() == "FALSE")
        ]
        expression.set("params", kept)
        return params(expression, *rest, **options)

    return read


def _transformations(inserts: Callable[..., Any]) -> Callable[..., Any]:
    """COPY from a query over `$1` and METADATA$ columns of JSON and Parquet files."""

    def made(expression: exp.Expression, params: Any, urls: list[str], *rest: Any) -> Any:
        source = expression.args["files"][0]
        if not isinstance(source, exp.Subquery):
            return inserts(expression, params, urls, *rest)
        return [_insert(expression, source, params, url) for url in urls]

    return made


def _insert(expression: exp.Expression, source: exp.Subquery, params: Any, url: str) -> exp.Insert:
    is_json = isinstance(params.file_format, copy_into.ReadJSON)

    def column(node: exp.Expression) -> exp.Expression:
        if not is_json and isinstance(node, exp.JSONExtract | exp.JSONExtractScalar) and node.this.find(exp.Parameter):
            # A column of a Parquet file keeps its type: through JSON a decimal would be a double.
            return exp.column(node.expression.expressions[-1].this, quoted=True)
        name = node.name.upper() if isinstance(node, exp.Column) else ""
        if name == "METADATA$FILENAME":
            return exp.Literal.string(copy_into._result_file_name(url))
        if name == "METADATA$FILE_ROW_NUMBER":
            return exp.column("_row")
        if isinstance(node, exp.Column) and isinstance(node.this, exp.Parameter):
            return exp.column("_value")
        return exp.column("_value") if isinstance(node, exp.Parameter) else node

    selected = source.this.copy().transform(column)
    read = params.file_format.read_expression(url).sql(dialect="duckdb")
    values = "json as _value" if is_json else "*"
    query = sqlglot.parse_one(
        f"select 1 from (select {values}, row_number() over () as _row from {read}) as source",
        read="duckdb",
    )
    query.set("expressions", selected.expressions)
    return exp.Insert(this=expression.this, expression=query, by_name=False)


def _listed_files(source_urls: Callable[..., Any]) -> Callable[..., Any]:
    """COPY's FILES on an internal stage. It fails if one is missing, as in Snowflake."""

    def listed(source: str, files: list[str]) -> list[str]:
        if not stage.is_internal(stage.file_path(source)):
            return list(source_urls(source, files))
        found = [f"{source.rstrip('/')}/{file}" for file in files]
        for url, file in zip(found, files, strict=True):
            if not Path(stage.file_path(url)).is_file():
                raise ProgrammingError(msg=f"Remote file '{file}' was not found.", errno=91016)
        return found

    return listed


def _staged_lines(self: Any, command: str) -> Any:
    """SELECT of the lines of staged text files, which the emulator lacks."""
    found = re.fullmatch(
        r"select metadata\$filename, metadata\$file_row_number, \$1 from (@\S+)"
        r" \(file_format => 'raw_ext.lines', pattern => '(.+)'\)",
        command,
    )
    if found is None:
        return None
    catalog, schema, name = stage.parts_from_var(found[1][1:], self._conn.database, self._conn.schema)
    root = Path(stage.internal_dir(f"{catalog}.{schema}.{name}"))
    pattern = found[2].replace("\\\\", "\\")
    rows: list[tuple[str, int, str]] = []
    for file in sorted(root.rglob("*")):
        relative = file.relative_to(root).as_posix()
        if file.is_file() and re.fullmatch(pattern, relative):
            content = file.read_bytes()
            text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode(errors="replace")
            rows += [(relative, number, line) for number, line in enumerate(text.split("\n"), 1) if line]
    literals = ", ".join(
        f"('{account.quoted(path)}', {number}, '{account.quoted(line)}')" for path, number, line in rows
    )
    values = f"values {literals}" if rows else "select '', 0, '' where false"
    return f"select * from ({values}) as t (path, row_number, line)"


def _null_timestamps(convert: Callable[..., Any]) -> Callable[..., Any]:
    """NULL timestamps go over the wire as 1970-01-01."""

    def converted(timestamps: Any) -> Any:
        made = convert(timestamps)
        source = timestamps.combine_chunks() if isinstance(timestamps, pa.ChunkedArray) else timestamps
        fields = [made.field(index).fill_null(0) for index in range(made.type.num_fields)]
        return pa.StructArray.from_arrays(fields, fields=list(made.type), mask=pc.is_null(source))

    return converted
