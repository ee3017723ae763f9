-- The procedure that loads a stream's stage and cleans it up. The tasks call it.
--
-- The stage lists the files, window.json groups them into windows, and load_history records the loaded ones. COPY's own
-- load metadata expires after 64 days and with the table, so it decides nothing: hence FORCE.
use role identifier($owner_role);
use warehouse identifier($warehouse_name);
use database identifier($database_name);
use schema raw_ext;

-- One procedure for both jobs of all streams. It is written in Python so that a test can run it, and uses only `sql` and
-- `file.get_stream` of its session. It runs with its caller's rights, because Snowflake refuses REMOVE in a procedure with
-- its owner's rights. The caller is the task, which has its owner's rights. Nobody else may call the procedure.
create or replace procedure run_stage_task(
    job varchar, stream varchar, layout varchar, stage varchar, raw_table varchar, key array, cursor varchar
)
returns varchar
language python
runtime_version = '3.11'
packages = ('snowflake-snowpark-python')
handler = 'run'
comment = 'job: load or cleanup. layout: columns, or documents in the column RAW. raw_table: schema.table. See docs/snowflake.md.'
execute as caller
as
$$
import gzip
import json
import re
from datetime import datetime, timedelta, timezone

MANIFEST = "window.json"
ROWS_AT_ONCE = 500
LOOKS = 3
META = ("_FILE", "_FILE_ROW", "_LOADED_AT", "_DELETED_AT")
FILE_NAME = re.compile(r"part-[0-9]+\.(parquet|ndjson\.gz)|(rejects|deletes)\.ndjson\.gz")
DECIMAL = re.compile(r"decimal128\([0-9]+, [0-9]+\)")
TYPES = {
    "bool": "boolean", "int16": "number(5, 0)", "int32": "number(10, 0)", "int64": "number(19, 0)", "float": "float",
    "double": "float", "string": "varchar", "binary": "binary", "date32[day]": "date",
    "timestamp[us]": "timestamp_ntz(6)", "json": "variant",
}


class Problem(Exception):
    """A failure with its remedy. It ends the task and is recorded in task_history."""


def run(session, job, stream, layout, stage, raw_table, key, cursor):
    """Run one job of one stream and record the run. The task fails if the job does."""
    begun, rows, files, problem = now(), 0, 0, ""
    try:
        if job == "load":
            rows, files = load(session, stream, layout, stage, raw_table, key, cursor)
        else:
            rows, files = cleanup(session, stream, stage)
    except Problem as error:
        problem = str(error)
    if rows or files or problem:
        session.sql(
            "insert into raw_ext.task_history select ?, cast(? as timestamp_ntz(6)), cast(? as timestamp_ntz(6)), ?, ?, ?, ?",
            params=[f"{job}_{stream}", begun, now(), "failed" if problem else "succeeded", rows, files, problem],
        ).collect()
    if problem:
        raise Problem(problem)
    return f"{rows} rows, {files} files"


def load(session, stream, layout, stage, raw_table, key, cursor):
    """Load all windows that are not complete in the ledger, oldest first, with their entries in one transaction.

    The stream of the stage's files advances in the same transaction, so only when its files are loaded. Windows that
    arrive between listing the stage and advancing the stream need another round, because their columns must be fitted
    first. If windows arrive in every round, the stream is not advanced, and starts the next load.
    """
    problems, late = {}, 0
    while True:
        waiting, shapes = waiting_windows(session, stream, stage, problems), {}
        # A window with deletes only has no column types to create the table from: it waits for a window with rows.
        for window, _ in sorted(waiting, key=lambda each: not each[0]["columns"]):
            try:
                if window["columns"] or window.get("rejects") or held_columns(session, raw_table):
                    shapes[window["id"]] = fit_table(session, stream, raw_table, window)
            except Problem as error:
                problems[window["id"]] = str(error)
                break
        ready = [(window, files) for window, files in waiting if window["id"] in shapes]
        loaded_at = next_stamp(session)
        session.sql("begin transaction").collect()
        try:
            again = False
            if late < LOOKS:
                session.sql(
                    "insert into raw_ext.seen_files"
                    f" select relative_path from raw_ext.{quoted(stage.upper() + '_FILES')} where false"
                ).collect()
                again = len(waiting_windows(session, stream, stage, problems)) > len(waiting)
                late += again
            rows = files = 0
            for window, missing in [] if again else ready:
                try:
                    rows += load_window(session, stream, layout, stage, raw_table, key, cursor, window, missing, shapes[window["id"]], loaded_at)
                except Exception as error:
                    # Load the other windows without the one that failed.
                    problems[window["id"]] = str(error)
                    raise
                files += len(missing)
            session.sql("rollback" if again else "commit").collect()
        except BaseException:
            session.sql("rollback").collect()
            if not problems:
                raise
            again = True
        if not again:
            break
    if problems:
        raise Problem(" ".join(problems.values()))
    return rows, files


def waiting_windows(session, stream, stage, problems):
    """Return the stream's complete windows with their files that are not in the ledger; add damaged ones to `problems`."""
    listed, ledger, waiting = listing(session, stage), read_ledger(session, stage), []
    for window in windows(session, stream, stage, listed, problems):
        missing = [file for file in files_of(window) if (window["id"], file["name"]) not in ledger]
        if window["stream"] == stream and missing and window["id"] not in problems:
            try:
                verify(window, missing, stage, listed)
                waiting.append((window, missing))
            except Problem as error:
                problems[window["id"]] = str(error)
    return waiting


def load_window(session, stream, layout, stage, raw_table, key, cursor, window, files, columns, loaded_at):
    """Load these files of a window, record them in the ledger, and return the number of data rows."""
    rows = 0
    for file in files:
        count = load_file(session, stream, layout, stage, raw_table, key, cursor, window, file, columns, loaded_at)
        if count != file["rows"]:
            raise Problem(
                f"{stream}: {stage}/{window['id']}/{file['name']} holds {count} rows where window.json promises"
                f" {file['rows']}; nothing of the window was loaded."
                f" Restore the original file, or {remedy(stream, window['id'])}"
            )
        rows += count if kind_of(window, file) == "data" else 0
        record_file(session, stream, stage, window, file, loaded_at)
    return rows


def cleanup(session, stream, stage):
    """Remove the files of the windows that are complete in the ledger, window.json last.

    Remove each file by folder and pattern: a path alone is a prefix, and would also remove files whose names begin the
    same. The pattern matches the name as well as the whole path, because the manual does not say which is compared.
    """
    rows = files = 0
    listed = listing(session, stage)
    ledger = read_ledger(session, stage)
    for window in windows(session, stream, stage, listed, {}):
        promised = files_of(window)
        if window["stream"] != stream or any(ledger.get((window["id"], f["name"])) != f["rows"] for f in promised):
            continue
        for name in [file["name"] for file in promised] + [MANIFEST]:
            if (window["id"], name) in listed:
                session.sql(f"remove {location(stage, window['id'], '')} pattern = '(.*/)?{name.replace('.', '[.]')}'").collect()
                files += 1
        rows += sum(file["rows"] for file in window["files"])
    return rows, files


def listing(session, stage):
    """Return the bytes of each staged file by window and name. LIST puts the stage's name in lower case before each path."""
    found = {}
    for row in session.sql(f"list @raw_ext.{quoted(stage.upper())}").collect():
        parts = row[0].split("/")
        if len(parts) == 3:
            found[parts[1], parts[2]] = int(row[1])
    return found


def windows(session, stream, stage, listed, problems):
    """Yield the windows with a valid window.json, oldest first: their names begin with their end.

    Faults of the others are added to `problems`, so that a damaged window does not stop the other windows.
    """
    for window_id in sorted(window for window, name in listed if name == MANIFEST):
        with session.file.get_stream(location(stage, window_id, MANIFEST)) as opened:
            content = opened.read()
        try:
            window = {**json.loads(content), "id": window_id}
            fault = manifest_fault(window, stage)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            fault = f"{type(error).__name__} {error}"
        if not fault:
            yield window
        elif window_id not in problems:
            problems[window_id] = (
                f"{stream}: {stage}/{window_id}/{MANIFEST} is not a window's manifest: {fault}."
                f" Restore the original file, or {remedy(stream, window_id)}"
            )


def manifest_fault(window, stage):
    """Return the fault of a window.json, or an empty text. Each fault would load rows twice, wrongly, or not at all."""
    files, names = files_of(window), [file["name"] for file in files_of(window)]
    if window["stage"] != stage or not isinstance(window["stream"], str):
        return f"it belongs to {window['stage']}"
    if len(set(names)) < len(names):
        return "it lists a file twice"
    if not all(FILE_NAME.fullmatch(name) for name in names):
        return f"it lists files that are not its own: {', '.join(names)}"
    if any(type(file[field]) is not int or file[field] < 0 for file in files for field in ("rows", "bytes")):
        return "a file has no number of rows or bytes"
    for column in window["columns"]:
        if not isinstance(column["name"], str) or not (DECIMAL.fullmatch(column["type"]) or column["type"] in TYPES):
            return f"column {column['name']} has the type {column['type']}, which is not known"
    if window["files"] and not window["columns"]:
        return "it lists no columns"
    for field in ("high", "horizon", "staged_at") + (("low",) if window["low"] else ()):
        datetime.fromisoformat(window[field])
    return "" if all(isinstance(window[field], str) for field in ("mode", "run_id")) else "mode or run_id is no text"


def remedy(stream, window_id):
    """Return the commands that replace a window that cannot be loaded."""
    return (
        f"run adventure reconcile {stream} --repair --without {window_id}, which stages its rows again, and then"
        f" adventure stage remove {stream} {window_id}."
    )


def read_ledger(session, stage):
    """Return the loaded rows by window and file."""
    found = session.sql('select window_id, file, "ROWS" from raw_ext.load_history where stage = ?', params=[stage])
    return {(row[0], row[1]): int(row[2]) for row in found.collect()}


def files_of(window):
    """Return all files of a window except window.json."""
    return window["files"] + [file for file in (window["rejects"], window["deletes"]) if file]


def kind_of(window, file):
    """Return the file's kind in the ledger."""
    return "rejects" if file == window["rejects"] else "deletes" if file == window["deletes"] else "data"


def verify(window, files, stage, listed):
    """Compare names and sizes with window.json. PUT compared the checksums; this finds later changes to the stage."""
    for file in files:
        size = listed.get((window["id"], file["name"]))
        if size != file["bytes"]:
            state = "is missing" if size is None else f"has {size} bytes where window.json promises {file['bytes']}"
            raise Problem(
                f"{window['stream']}: {stage}/{window['id']}/{file['name']} {state}; nothing of the window was loaded."
                f" Restore the original file, or {remedy(window['stream'], window['id'])}"
            )


def fit_table(session, stream, raw_table, window):
    """Create the raw table or add its new columns, and return types by column. DDL would end the load's transaction."""
    schema, _, table = raw_table.upper().partition(".")
    wanted = {c["name"].upper(): snowflake_type(c["type"]) for c in window["columns"]}
    if len(wanted) < len(window["columns"]) or set(wanted) & set(META):
        raise Problem(
            f"{stream}: two columns of window {window['id']} have one name in {raw_table}, case aside."
            f" Rename one at the source; then {remedy(stream, window['id'])}"
        )
    held = held_columns(session, raw_table)
    name = f"{quoted(schema)}.{quoted(table)}"
    if not held:
        columns = [f"{quoted(column)} {kind}" for column, kind in wanted.items()]
        columns += ["_file varchar", "_file_row number(38, 0)", "_loaded_at timestamp_ntz(6)", "_deleted_at timestamp_ntz(6)"]
        session.sql(f"create table {name} ({', '.join(columns)})").collect()
        return wanted
    for column, kind in wanted.items():
        if column not in held:
            session.sql(f"alter table {name} add column {quoted(column)} {kind}").collect()
        elif not fits(kind, *held[column]):
            raise Problem(
                f"{stream}: column {column} is staged as {kind} in window {window['id']}, and no longer fits {raw_table},"
                f" where it is {held[column][0]}; nothing of the window was loaded. Rename the old column there and run"
                " the task again: the new one is added."
            )
    # Include the table's columns: a window with deletes only lists no columns, but its keys need types.
    return {column: held_type(*described) for column, described in held.items()} | wanted


def held_columns(session, raw_table):
    """Return the raw table's columns with types, precisions and scales; empty if there is no such table."""
    schema, _, table = raw_table.upper().partition(".")
    rows = session.sql(
        "select column_name, data_type, numeric_precision, numeric_scale from information_schema.columns"
        " where table_schema = ? and table_name = ?",
        params=[schema, table],
    ).collect()
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def held_type(kind, precision, scale):
    return f"number({precision}, {scale})" if kind == "NUMBER" else kind


def fits(kind, held, precision, scale):
    """Return whether a column holds every value of a staged type exactly."""
    family = kind.partition("(")[0]
    names = {"varchar": "TEXT", "timestamp_ntz": "TIMESTAMP_NTZ"}
    if family != "number":
        return held == names.get(family, family.upper())
    digits, _, places = kind[7:-1].partition(", ")
    return held == "NUMBER" and int(scale) >= int(places) and int(precision) - int(scale) >= int(digits) - int(places)


def load_file(session, stream, layout, stage, raw_table, key, cursor, window, file, columns, loaded_at):
    """Load one file and return the number of its rows."""
    schema, _, table = raw_table.upper().partition(".")
    target, label = f"{quoted(schema)}.{quoted(table)}", literal(f"{stage}/{window['id']}/{file['name']}")
    stamp, place = f"{literal(loaded_at)}::timestamp_ntz(6)", location(stage, window["id"], file["name"])
    if kind_of(window, file) == "deletes":
        return write_tombstones(session, layout, place, target, key, cursor, label, stamp, columns)
    if kind_of(window, file) == "rejects":
        names = 'stream, key, reason, "ROW", _file, _loaded_at'
        values = f"{literal(stream)}, $1:key::varchar, $1:reason::varchar, $1:row::varchar, {label}, {stamp}"
        target, file_format = "raw_ext.rejected_rows", "type = json"
    elif file["name"].endswith(".parquet"):
        names = ", ".join(quoted(c["name"].upper()) for c in window["columns"]) + ", _file, _file_row, _loaded_at"
        values = ", ".join(f"$1:{quoted(c['name'])}::{columns[c['name'].upper()]}" for c in window["columns"])
        values += f", {label}, metadata$file_row_number, {stamp}"
        # Read timestamps and binary as what they are, not as numbers and text.
        file_format = "type = parquet use_logical_type = true binary_as_text = false"
    else:
        names, values = "raw, _file, _file_row, _loaded_at", f"$1, {label}, metadata$file_row_number, {stamp}"
        file_format = "type = json"
    copied = session.sql(
        f"copy into {target} ({names}) from (select {values} from {place})"
        f" file_format = ({file_format}) on_error = abort_statement force = true"
    ).collect()
    return sum(int(row[3]) for row in copied if row[0].endswith(file["name"]))


def tombstone(line, last):
    """Return the tombstone of a deleted document: its key, and the time of its deletion as its cursor."""
    document = {"_adventure_key": line["key"], **{name: text for name, text in line["key"].items() if "." not in name}}
    for path in last:
        *outer, name = path.split(".")
        inner = document
        for each in outer:
            inner = inner.setdefault(each, {})
        inner[name] = line["deleted_at"]
    return document


def write_tombstones(session, layout, place, target, key, cursor, label, stamp, columns):
    """Append a tombstone for each row that was deleted at the source, and return their number."""
    with session.file.get_stream(place) as packed:
        lines = [json.loads(line) for line in gzip.decompress(packed.read()).splitlines()]
    last = () if cursor in key else (cursor,)
    lacking = [name for name in (*key, *last) if layout != "documents" and name.upper() not in columns]
    if lacking:
        raise Problem(
            f"The deleted rows in {label} do not fit: {target} has no column {lacking[0]}; nothing of the window was loaded."
            " Give the key's columns the names again with which their rows were loaded."
        )
    for begin in range(0, len(lines), ROWS_AT_ONCE):
        some = lines[begin : begin + ROWS_AT_ONCE]
        if layout == "documents":
            rows = [json.dumps(tombstone(line, last)) for line in some]
            names, values = "raw", "parse_json(column1)"
            params = [value for row, line in zip(rows, some) for value in (row, line["deleted_at"])]
        else:
            names = ", ".join(quoted(name.upper()) for name in (*key, *last))
            kinds = [columns[name.upper()] for name in (*key, *last)]
            values = ", ".join(f"column{n}::{kind}" for n, kind in enumerate(kinds, 1))
            params = [v for line in some for v in (*(line["key"][name] for name in key), *[line["deleted_at"] for _ in last], line["deleted_at"])]
        width = len(params) // len(some)
        rows = ", ".join(f"({', '.join('?' * width)})" for _ in some)
        session.sql(
            f"insert into {target} ({names}, _file, _file_row, _loaded_at, _deleted_at)"
            f" select {values}, {label}, {begin} + row_number() over (order by column{width}), {stamp},"
            f" column{width}::timestamp_ntz(6) from values {rows}",
            params=params,
        ).collect()
    return len(lines)


def record_file(session, stream, stage, window, file, loaded_at):
    """Add the file to the ledger, in the transaction of its rows."""
    values = [
        stream, stage, window["id"], file["name"], kind_of(window, file), file["rows"], file["bytes"], file["sha256"],
        window["low"], window["high"], window["horizon"], window["mode"], window["run_id"], window["staged_at"], loaded_at,
    ]
    times = {8, 9, 10, 13, 14}
    marks = ", ".join("cast(? as timestamp_ntz(6))" if place in times else "?" for place in range(len(values)))
    session.sql(f"insert into raw_ext.load_history select {marks}", params=values).collect()


def next_stamp(session):
    """Return the time of this load. It always grows, because builds read the rows that were loaded since the last one."""
    (row,) = session.sql("select max(loaded_at) from raw_ext.load_history").collect()
    return max(now(), f"{row[0] + timedelta(microseconds=1):%Y-%m-%d %H:%M:%S.%f}" if row[0] else "")


def snowflake_type(staged):
    """Return Snowflake's type for a column's type in window.json."""
    decimal = re.fullmatch(r"decimal128\((\d+), (\d+)\)", staged)
    return f"number({decimal[1]}, {decimal[2]})" if decimal else TYPES[staged]


def location(stage, window_id, name):
    """Return a file's full path. A shorter path would also match its neighbours."""
    return f"@raw_ext.{quoted(stage.upper())}/{window_id}/{name}"


def quoted(name):
    """Return the quoted identifier. Callers pass names in upper case, as Snowflake stores unquoted names."""
    return '"' + name.replace('"', '""') + '"'


def literal(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")
$$;
