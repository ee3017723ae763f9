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
import json
import re
from collections import namedtuple
from datetime import datetime, timedelta, timezone

MANIFEST = "window.json"
REPLACES = "replaces all rows"  # The end of the mode of a window that holds the whole table.
ROW_NUMBER = "_row_number"  # The key of a table that has none: each of its windows holds all rows.
COPY_FILES = 1000
COPY_BYTES = 2 * 1024**3
REMOVED_WINDOWS = 200
INSERTED_ROWS = 200
LOOKS = 3
MANY_PROBLEMS = 20
META = ("_FILE", "_FILE_ROW", "_LOADED_AT", "_DELETED_AT")
FILE_NAME = re.compile(r"part-[0-9]+\.(parquet|ndjson\.gz)|(rejects|deletes)\.ndjson\.gz")
DECIMAL = re.compile(r"decimal128\([0-9]+, [0-9]+\)")
TYPES = {
    "bool": "boolean", "int16": "number(5, 0)", "int32": "number(10, 0)", "int64": "number(19, 0)", "float": "float",
    "double": "float", "string": "varchar", "binary": "binary", "date32[day]": "date",
    "timestamp[us]": "timestamp_ntz(6)", "json": "variant",
}

# What a task's call names: its stream, and where the stream's rows come from and go to.
Job = namedtuple("Job", "stream layout stage raw_table key cursor")


class Problem(Exception):
    """A failure with its remedy. It ends the task and is recorded in task_history."""


def run(session, job, stream, layout, stage, raw_table, key, cursor):
    """Run one job of one stream and record the run. The task fails if the job does."""
    begun, rows, files, problems = now(), 0, 0, {}
    work = load if job == "load" else cleanup
    rows, files = work(session, Job(stream, layout, stage, raw_table, key, cursor), problems)
    problem = " ".join(problems.values())
    if rows or files or problem:
        session.sql(
            "insert into raw_ext.task_history select ?, cast(? as timestamp_ntz(6)), cast(? as timestamp_ntz(6)), ?, ?, ?, ?",
            params=[f"{job}_{stream}", begun, now(), "failed" if problem else "succeeded", rows, files, problem],
        ).collect()
    if problem:
        raise Problem(problem)
    return f"{rows} rows, {files} files"


def load(session, job, problems):
    """Load all windows that are not complete in the ledger, oldest first, in pieces, and return rows and files.

    Each piece is a transaction of its own, so that a long backlog makes progress within a task's hour. The stream of the
    stage's files, for which the task waits, advances last, and only if nothing that is staged is left: a window that
    could not be loaded keeps the task due.
    """
    rows = files = 0
    for _ in range(LOOKS):
        waiting, table = waiting_windows(session, job, problems), Table(session, job)
        ready = table.fitted(waiting, problems)
        for piece in pieces(job, ready):
            loaded = load_piece(session, job, table, piece, problems)
            rows, files = rows + loaded[0], files + loaded[1]
        # Windows that arrived meanwhile need another round. If some arrive in every round, the next load begins with them.
        if problems or advance(session, job, len(waiting) - len(ready), problems):
            break
    return rows, files


def advance(session, job, without_table, problems):
    """Advance the stream of the stage's files unless a window waits that it would pass; return whether it advanced.

    The windows without a table, `without_table` of them, do not count: the window that creates it wakes the task for
    them, too.
    """
    session.sql("begin transaction").collect()
    session.sql(
        "insert into raw_ext.seen_files"
        f" select relative_path from raw_ext.{quoted(job.stage.upper() + '_FILES')} where false"
    ).collect()
    is_done = len(waiting_windows(session, job, problems)) <= without_table and not problems
    session.sql("commit" if is_done else "rollback").collect()
    return is_done


def pieces(job, waiting):
    """Yield lists of windows whose files one transaction loads: one COPY takes at most 1,000 files.

    A window that holds the whole table of a stream with a key is loaded by itself, because it marks the missing keys.
    """
    piece, files, size = [], 0, 0
    for window, missing in waiting:
        more, bigger = len(missing), sum(file["bytes"] for file in missing)
        is_alone = ROW_NUMBER not in job.key and (is_whole(window) or (piece and is_whole(piece[-1][0])))
        if piece and (is_alone or files + more > COPY_FILES or size + bigger > COPY_BYTES):
            yield piece
            piece, files, size = [], 0, 0
        piece.append((window, missing))
        files, size = files + more, size + bigger
    if piece:
        yield piece


def load_piece(session, job, table, piece, problems):
    """Load windows in one transaction, and return rows and files. If that fails, load each half by itself.

    So a window that cannot be loaded stops no other, and is found in few steps.
    """
    loaded_at = next_stamp(session)
    session.sql("begin transaction").collect()
    try:
        rows, files = load_windows(session, job, table, piece, loaded_at)
        session.sql("commit").collect()
        return rows, files
    except Exception as error:
        session.sql("rollback").collect()
        if len(piece) == 1:
            problems[piece[0][0]["id"]] = str(error)
            return 0, 0
    half = len(piece) // 2
    rows = files = 0
    for some in (piece[:half], piece[half:]):
        # A fault of the account would repeat itself for each of thousands of windows.
        if len(problems) < MANY_PROBLEMS:
            loaded = load_piece(session, job, table, some, problems)
            rows, files = rows + loaded[0], files + loaded[1]
    return rows, files


def load_windows(session, job, table, piece, loaded_at):
    """Load the files of these windows, compare the rows with the manifests, and record the files in the ledger."""
    groups, deletes = {}, []
    for window, missing in piece:
        for file in missing:
            kind = kind_of(window, file)
            if kind == "deletes":
                deletes.append((window, file))
            else:
                shape = tuple(column["name"] for column in window["columns"]) if kind == "data" else ()
                groups.setdefault((kind, file["name"].endswith(".parquet"), shape), []).append((window, file))
    counts = {}
    for (kind, is_parquet, names), files in groups.items():
        for some in chunks(files, COPY_FILES):
            counts.update(copy_files(session, job, table, kind, is_parquet, names, some, loaded_at))
    for some in chunks(deletes, REMOVED_WINDOWS):
        counts.update(write_tombstones(session, job, table, some, loaded_at))
    rows = 0
    loaded = [(window, file) for window, missing in piece for file in missing]
    for window, file in loaded:
        count = counts.get((window["id"], file["name"]), 0)
        if count != file["rows"]:
            raise Problem(
                f"{job.stream}: {job.stage}/{window['id']}/{file['name']} holds {count} rows where window.json promises"
                f" {file['rows']}; nothing of the window was loaded."
                f" Restore the original file, or {remedy(job.stream, window['id'])}"
            )
        rows += count if kind_of(window, file) == "data" else 0
    record_files(session, job, loaded, loaded_at)
    for window in [window for window, _ in piece if is_whole(window)][-1:]:
        if ROW_NUMBER in job.key:
            keep_newest(session, job, table)
        else:
            write_missing(session, job, table, window, loaded_at)
    return rows, len(loaded)


def waiting_windows(session, job, problems):
    """Return the stream's complete windows with their files that are not in the ledger; add damaged ones to `problems`."""
    listed, waiting = listing(session, job.stage), []
    ledger = read_ledger(session, job.stage, listed)
    for window in windows(session, job, listed, problems):
        missing = [file for file in files_of(window) if (window["id"], file["name"]) not in ledger]
        if window["stream"] == job.stream and missing and window["id"] not in problems:
            try:
                verify(window, missing, job.stage, listed)
                waiting.append((window, missing))
            except Problem as error:
                problems[window["id"]] = str(error)
    return waiting


def cleanup(session, job, problems):
    """Remove the files of the windows that are complete in the ledger, window.json last, and return rows and files.

    The pattern lists windows and names, because a path alone is a prefix, and would also remove files whose names begin
    the same. It matches below the stage as well as the whole path, because the manual does not say which is compared.
    """
    rows, done = 0, []
    listed = listing(session, job.stage)
    ledger = read_ledger(session, job.stage, listed)
    for window in windows(session, job, listed, {}):
        promised = files_of(window)
        if window["stream"] == job.stream and all(ledger.get((window["id"], f["name"])) == f["rows"] for f in promised):
            done.append((window["id"], tuple(f["name"] for f in promised if (window["id"], f["name"]) in listed)))
            rows += sum(file["rows"] for file in window["files"])
    for some in chunks(done, REMOVED_WINDOWS):
        alike = {}
        for window_id, names in some:
            alike.setdefault(names, []).append(window_id)
        for names, window_ids in [*alike.items(), ((MANIFEST,), [window_id for window_id, _ in some])]:
            if names:
                pattern = f"(.*/)?{either(window_ids)}/{either(names)}"
                session.sql(f"remove @raw_ext.{quoted(job.stage.upper())} pattern = {literal(pattern)}").collect()
    return rows, sum(len(names) + 1 for _, names in done)


def listing(session, stage):
    """Return the bytes of each staged file by window and name. LIST puts the stage's name in lower case before each path."""
    found = {}
    for row in session.sql(f"list @raw_ext.{quoted(stage.upper())}").collect():
        parts = row[0].split("/")
        if len(parts) == 3:
            found[parts[1], parts[2]] = int(row[1])
    return found


def windows(session, job, listed, problems):
    """Yield the windows with a valid window.json, oldest first: their names begin with their end.

    Faults of the others are added to `problems`, so that a damaged window does not stop the other windows.
    """
    found = sorted(window for window, name in listed if name == MANIFEST)
    contents = staged_lines(session, job.stage, f"(.*/)?{either([MANIFEST])}") if found else {}
    for window_id in found:
        try:
            window = {**json.loads("\n".join(contents.get((window_id, MANIFEST), []))), "id": window_id}
            fault = manifest_fault(window, job.stage)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            fault = f"{type(error).__name__} {error}"
        if not fault:
            yield window
        elif window_id not in problems:
            problems[window_id] = (
                f"{job.stream}: {job.stage}/{window_id}/{MANIFEST} is not a window's manifest: {fault}."
                f" Restore the original file, or {remedy(job.stream, window_id)}"
            )


def staged_lines(session, stage, pattern):
    """Return the lines of the staged text files that match, by window and name, with one statement for all files."""
    found = {}
    rows = session.sql(
        f"select metadata$filename, metadata$file_row_number, $1 from @raw_ext.{quoted(stage.upper())}"
        f" (file_format => 'raw_ext.lines', pattern => {literal(pattern)})"
    ).collect()
    for path, _, line in sorted((row[0], int(row[1]), row[2] or "") for row in rows):
        found.setdefault(tuple(path.split("/")[-2:]), []).append(line)
    return found


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


def read_ledger(session, stage, listed):
    """Return the loaded rows by window and file, of the windows from the oldest listed one on."""
    found = session.sql(
        'select window_id, file, "ROWS" from raw_ext.load_history where stage = ? and window_id >= ?',
        params=[stage, min(listed, default=("",))[0]],
    )
    return {(row[0], row[1]): int(row[2]) for row in found.collect()}


def files_of(window):
    """Return all files of a window except window.json."""
    return window["files"] + [file for file in (window["rejects"], window["deletes"]) if file]


def is_whole(window):
    """Return whether the window's rows are the whole table."""
    return window["mode"].endswith(REPLACES)


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


class Table:
    """The raw table's columns, read once in a load. DDL would end a transaction, so it is fitted before."""

    def __init__(self, session, job):
        self.session, self.job = session, job
        self.schema, _, self.table = job.raw_table.upper().partition(".")
        self.name = f"{quoted(self.schema)}.{quoted(self.table)}"
        self.view = f"{job.raw_table.removesuffix('_raw')}_latest".upper().partition(".")[2]
        self.held = self.read()

    def fitted(self, waiting, problems):
        """Return the windows that the table can take, oldest first; add the others to `problems`.

        A window with deletes only has no column types to create the table from: it waits for a window with rows.
        """
        faults, fitting = {}, set()
        for window, _ in sorted(waiting, key=lambda each: not each[0]["columns"]):
            shape = tuple((column["name"], column["type"]) for column in window["columns"])
            if shape and shape not in faults:
                try:
                    self.fit(window)
                    faults[shape] = ""
                except Problem as error:
                    faults[shape] = str(error)
            if faults.get(shape):
                problems[window["id"]] = faults[shape]
            elif shape or window["rejects"] or self.held:
                fitting.add(window["id"])
        if fitting:
            self.show_latest()
        return [(window, missing) for window, missing in waiting if window["id"] in fitting]

    def show_latest(self):
        """Create the view of latest versions, and again when the raw table has other columns: a view keeps its own."""
        needed = {"RAW"} if self.job.layout == "documents" else {name.upper() for name in (*self.job.key, self.job.cursor)}
        if self.shown != set(self.held) and needed <= set(self.held):
            self.session.sql(
                f"create or replace view {quoted(self.schema)}.{quoted(self.view)} as {latest(self.name, self.job)}"
            ).collect()
            self.shown = set(self.held)

    def fit(self, window):
        """Create the raw table, or add the window's new columns to it."""
        stream = self.job.stream
        wanted = {column["name"].upper(): snowflake_type(column["type"]) for column in window["columns"]}
        if len(wanted) < len(window["columns"]) or set(wanted) & set(META):
            raise Problem(
                f"{stream}: two columns of window {window['id']} have one name in {self.job.raw_table}, case aside."
                f" Rename one at the source; then {remedy(stream, window['id'])}"
            )
        if not self.held:
            columns = [f"{quoted(column)} {kind}" for column, kind in wanted.items()]
            columns += ["_file varchar", "_file_row number(38, 0)", "_loaded_at timestamp_ntz(6)", "_deleted_at timestamp_ntz(6)"]
            self.session.sql(f"create table {self.name} ({', '.join(columns)})").collect()
            self.held = self.read()
        for column, kind in wanted.items():
            if column not in self.held:
                self.session.sql(f"alter table {self.name} add column {quoted(column)} {kind}").collect()
                self.held = self.read()
            elif not fits(kind, *self.held[column]):
                raise Problem(
                    f"{stream}: column {column} is staged as {kind} in window {window['id']}, and no longer fits"
                    f" {self.job.raw_table}, where it is {self.held[column][0]}; nothing of the window was loaded."
                    " Rename the old column there and run the task again: the new one is added."
                )

    def kind(self, name):
        """Return the type of a column."""
        return held_type(*self.held[name.upper()])

    def read(self):
        """Return the columns with types, precisions and scales, empty if there is no such table; note the view's names."""
        rows = self.session.sql(
            "select column_name, data_type, numeric_precision, numeric_scale, table_name from information_schema.columns"
            " where table_schema = ? and table_name in (?, ?)",
            params=[self.schema, self.table, self.view],
        ).collect()
        self.shown = {row[0] for row in rows if row[4] == self.view}
        return {row[0]: (row[1], row[2], row[3]) for row in rows if row[4] == self.table}


def latest(table, job):
    """Return the query for the latest version of each row, without deleted rows. `Dialect.latest` is the same query."""
    if job.layout == "documents":
        keys = [f"coalesce({member('_adventure_key', name)}, {member(*name.split('.'))})" for name in job.key]
        cursor = f"coalesce({member('_adventure_cursor')}, {member(*job.cursor.split('.'))})"
        cursor = f"cast(convert_timezone('UTC', try_cast({cursor} as timestamp_tz)) as timestamp_ntz)"
    else:
        keys, cursor = [quoted(name.upper()) for name in job.key], quoted(job.cursor.upper())
    return (
        f"select * from (select * from {table} qualify row_number() over (partition by {', '.join(keys)}"
        f" order by coalesce(_deleted_at, {cursor}) desc nulls last, _loaded_at desc,"
        " _deleted_at desc nulls last) = 1) as latest where _deleted_at is null"
    )


def member(*path):
    """Return a member of a document as text."""
    document = "raw"
    for name in path:
        document = f"get({document}, {literal(name)})"
    return f"{document}::varchar"


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


def copy_files(session, job, table, kind, is_parquet, names, files, loaded_at):
    """Load files of one kind and shape with one COPY, and return the rows of each by window and name."""
    parts = [f"split_part(metadata$filename, '/', {place})" for place in (-2, -1)]
    label = f"{literal(job.stage + '/')} || {parts[0]} || '/' || {parts[1]}"
    stamp, target, file_format = f"{literal(loaded_at)}::timestamp_ntz(6)", table.name, "type = json"
    if kind == "rejects":
        columns = 'stream, key, reason, "ROW", _file, _loaded_at'
        members = ", ".join(f'$1:"{name}"::varchar' for name in ("key", "reason", "row"))
        values = f"{literal(job.stream)}, {members}, {label}, {stamp}"
        target = "raw_ext.rejected_rows"
    elif is_parquet:
        columns = ", ".join(quoted(name.upper()) for name in names) + ", _file, _file_row, _loaded_at"
        values = ", ".join(f"$1:{quoted(name)}::{table.kind(name)}" for name in names)
        values += f", {label}, metadata$file_row_number, {stamp}"
        # Read timestamps and binary as what they are, not as numbers and text.
        file_format = "type = parquet use_logical_type = true binary_as_text = false"
    else:
        columns, values = "raw, _file, _file_row, _loaded_at", f"$1, {label}, metadata$file_row_number, {stamp}"
    listed = ", ".join(literal(f"{window['id']}/{file['name']}") for window, file in files)
    copied = session.sql(
        f"copy into {target} ({columns}) from (select {values} from @raw_ext.{quoted(job.stage.upper())}/)"
        f" files = ({listed}) file_format = ({file_format}) on_error = abort_statement force = true"
    ).collect()
    # Without any file COPY answers with one sentence in one column.
    return {tuple(row[0].split("/")[-2:]): int(row[3]) for row in copied if len(row) > 3}


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


def write_tombstones(session, job, table, files, loaded_at):
    """Append a tombstone for each row that was deleted at the source, and return the rows by window and name."""
    pattern = f"(.*/)?{either([window['id'] for window, _ in files])}/{either({file['name'] for _, file in files})}"
    found = staged_lines(session, job.stage, pattern)
    lines = [
        (f"{job.stage}/{window_id}/{name}", number, json.loads(line))
        for (window_id, name), texts in found.items()
        for number, line in enumerate(texts, 1)
    ]
    last = () if job.cursor in job.key else (job.cursor,)
    names = ("raw",) if job.layout == "documents" else (*job.key, *last)
    lacking = [name for name in names if name.upper() not in table.held]
    if lacking:
        raise Problem(
            f"The deleted rows in {job.stage}/{files[0][0]['id']}/{files[0][1]['name']} do not fit: {job.raw_table} has no column {lacking[0]}; nothing of the"
            " window was loaded. Give the key's columns the names again with which their rows were loaded."
        )
    kinds = [table.kind(name) for name in names]
    values = ["parse_json(column1)"] if job.layout == "documents" else [f"column{n}::{kind}" for n, kind in enumerate(kinds, 1)]
    width = len(names)
    for some in chunks(lines, INSERTED_ROWS):
        params = []
        for label, number, line in some:
            if job.layout == "documents":
                params.append(json.dumps(tombstone(line, last)))
            else:
                params += [*(line["key"][name] for name in job.key), *[line["deleted_at"] for _ in last]]
            params += [label, number, line["deleted_at"]]
        rows = ", ".join(f"({', '.join('?' * (width + 3))})" for _ in some)
        session.sql(
            f"insert into {table.name} ({', '.join(quoted(name.upper()) for name in names)}, _file, _file_row, _loaded_at, _deleted_at)"
            f" select {', '.join(values)}, column{width + 1}, column{width + 2}, {literal(loaded_at)}::timestamp_ntz(6),"
            f" column{width + 3}::timestamp_ntz(6) from values {rows}",
            params=params,
        ).collect()
    return {file: len(texts) for file, texts in found.items()}


def write_missing(session, job, table, window, loaded_at):
    """Append a tombstone for each live key that is not in the window, which holds all rows of the table.

    A key whose row the window rejects stays as it is. The window's end is later than the cursors of all windows before.
    """
    label, name = f"{job.stage}/{window['id']}/", "deletes.ndjson.gz"
    keys = [f"latest.{quoted(key.upper())}" for key in job.key]
    text = " || ',' || ".join(key_text(column, table.held[key.upper()][0]) for column, key in zip(keys, job.key))
    columns = ", ".join(quoted(column.upper()) for column in (*job.key, job.cursor))
    at = f"{literal(str(datetime.fromisoformat(window['high']) - timedelta(microseconds=1)))}::timestamp_ntz(6)"
    inserted = session.sql(
        f"insert into {table.name} ({columns}, _file, _file_row, _loaded_at, _deleted_at)"
        f" select {', '.join(keys)}, {at}, {literal(label + name)}, row_number() over (order by {', '.join(keys)}),"
        f" {literal(loaded_at)}::timestamp_ntz(6), {at} from ({latest(table.name, job)}) as latest"
        f" where not startswith(latest._file, {literal(label)}) and not exists ("
        f"select 1 from raw_ext.rejected_rows as rejected where startswith(rejected._file, {literal(label)}) and"
        f" rtrim(rejected.key, ' ') = {text})"
    ).collect()
    if rows := int(inserted[0][0]):
        deletes = {"name": name, "rows": rows, "bytes": 0, "sha256": ""}
        record_files(session, job, [({**window, "deletes": deletes}, deletes)], loaded_at)


def key_text(column, kind):
    """Return a part of a key as rejected rows have it: as PostgreSQL prints it, without the padding of char(n)."""
    if kind == "TIMESTAMP_NTZ":
        text = f"to_char({column}, 'YYYY-MM-DD HH24:MI:SS.FF6')"
        return f"case when contains({text}, '.') then regexp_replace({text}, '[.]?0+$', '') else {text} end"
    if kind == "DATE":
        return f"to_char({column}, 'YYYY-MM-DD')"
    return f"rtrim({column}, ' ')" if kind == "TEXT" else f"{column}::varchar"


def keep_newest(session, job, table):
    """Remove the rows of all windows but the newest that was loaded, whatever the order in which they are loaded."""
    session.sql(
        f"delete from {table.name} where not startswith(_file, (select max(stage || '/' || window_id || '/')"
        f" from raw_ext.load_history where stage = ? and kind = 'data' and endswith(mode, {literal(REPLACES)})))",
        params=[job.stage],
    ).collect()


def record_files(session, job, files, loaded_at):
    """Add the files to the ledger, in the transaction of their rows."""
    times = {8, 9, 10, 13}
    values = ", ".join(f"column{n}::timestamp_ntz(6)" if n - 1 in times else f"column{n}" for n in range(1, 15))
    for some in chunks(files, INSERTED_ROWS):
        params = [
            value
            for window, file in some
            for value in (
                job.stream, job.stage, window["id"], file["name"], kind_of(window, file), file["rows"], file["bytes"],
                file["sha256"], window["low"], window["high"], window["horizon"], window["mode"], window["run_id"],
                window["staged_at"],
            )
        ]
        rows = ", ".join(f"({', '.join('?' * 14)})" for _ in some)
        session.sql(
            f"insert into raw_ext.load_history select {values}, {literal(loaded_at)}::timestamp_ntz(6) from values {rows}",
            params=params,
        ).collect()


def chunks(items, size):
    """Return the items in lists of at most `size`."""
    return [items[begin : begin + size] for begin in range(0, len(items), size)]


def either(texts):
    """Return a regular expression that matches exactly these texts."""
    escaped = ("".join(c if c.isalnum() or c in "-_" else f"\\{c}" for c in text) for text in sorted(texts))
    return f"({'|'.join(escaped)})"


def next_stamp(session):
    """Return the time of this load. It always grows, because builds read the rows that were loaded since the last one."""
    (row,) = session.sql("select max(loaded_at) from raw_ext.load_history").collect()
    return max(now(), f"{row[0] + timedelta(microseconds=1):%Y-%m-%d %H:%M:%S.%f}" if row[0] else "")


def snowflake_type(staged):
    """Return Snowflake's type for a column's type in window.json."""
    decimal = re.fullmatch(r"decimal128\((\d+), (\d+)\)", staged)
    return f"number({decimal[1]}, {decimal[2]})" if decimal else TYPES[staged]


def quoted(name):
    """Return the quoted identifier. Callers pass names in upper case, as Snowflake stores unquoted names."""
    return '"' + name.replace('"', '""') + '"'


def literal(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")
$$;
