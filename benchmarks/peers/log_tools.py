"""How Adventure and rivet-cli read a table by PostgreSQL's log, and the newest version of each row of their copies."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers.tools import DECIMAL, ROOT, Job, Tool, adventure_variables, pins

TYPES = {"weight": DECIMAL}
"""Types of the columns that have no precision at the source."""


def server_with_test_decoding() -> Path | None:
    """Return the programs of the newest PostgreSQL of Debian that has rivet's plugin `test_decoding`; None without one.

    The embedded server does not have it. Adventure's log mode needs PostgreSQL 15.
    """
    found = [path.parents[1] for path in Path("/usr/lib/postgresql").glob("*/lib/test_decoding.so")]
    usable = [folder for folder in found if int(folder.name) >= 15 and (folder / "bin" / "initdb").exists()]
    return max(usable, key=lambda folder: int(folder.name)) / "bin" if usable else None


def _adventure(job: Job) -> Sequence[Sequence[str]]:
    types = ", ".join(f'{name} = "{kind}"' for name, kind in TYPES.items())
    (job.folder / "pipeline.toml").write_text(
        "[streams.items]\nsource = 'postgres'\nnamespace = 'public'\ntable = 'items'\nmode = 'log'\nkey = 'id'\n"
        f"stage = 'items_stage'\nraw_table = 'raw_ext.items_raw'\ntypes = {{ {types} }}\n"
    )
    return [[job.program("python"), "-m", "adventure", "process"]]


def _adventure_rows(folder: Path, table: str) -> str:
    staged, stage = "parse_path(filename)[-2] as staged", folder / "data" / "stages" / f"{table}_stage"
    rows = f"select *, {staged}, false as gone from read_parquet('{stage}/*/*.parquet', filename = true)"
    # Without a type for `filename`, DuckDB makes it JSON, too.
    deletes = f"read_json('{stage}/*/deletes.ndjson.gz', filename = true, columns = {{'key': 'json'}})"
    gone = f"select (key ->> 'id')::bigint as id, {staged}, true as gone from {deletes}"
    return _newest(f"{rows} union all by name {gone}", "staged desc", "not gone")


def _rivet(job: Job) -> Sequence[Sequence[str]]:
    export = {
        "name": "items",
        "table": "public.items",
        "mode": "cdc",
        "format": "parquet",
        "columns": TYPES,
        # As `rivet init --mode cdc` writes it.
        "cdc": {"slot": "rivet_items", "checkpoint": "items.ckpt", "until_current": True, "initial": "snapshot"},
        "destination": {"type": "local", "path": f"{job.folder}/items"},
    }
    config = {"source": {"type": "postgres", "url_env": "SALES_URL"}, "exports": [export]}
    (job.folder / "rivet.yaml").write_text(json.dumps(config))
    return [[job.program("rivet"), "run", "-c", "rivet.yaml"]]


def _rivet_variables(job: Job) -> Mapping[str, str]:
    return {"SALES_URL": job.url}


def _rivet_rows(folder: Path, table: str) -> str:
    # As rivet's documentation orders them: by the position of the commit, and the number within the transaction.
    position = " || ".join(f"lpad(split_part(__pos ->> 'lsn', '/', {part}), 8, '0')" for part in (1, 2))
    files = f"['{folder}/{table}/snapshot/*.parquet', '{folder}/{table}/*.parquet']"
    changes = f"select *, {position} as position from read_parquet({files}, union_by_name = true)"
    return _newest(changes, "position desc nulls last, __seq desc nulls last", "__op is distinct from 'delete'")


def _newest(versions: str, order: str, condition: str) -> str:
    newest = f"from ({versions}) qualify row_number() over (partition by id order by {order}) = 1"
    return f"from ({newest}) where {condition}"


ADVENTURE = Tool(
    "Adventure, a new process each time",
    _adventure,
    _adventure_rows,
    ROOT / "requirements" / "processor.lock",
    adventure_variables,
)
RIVET = Tool("rivet-cli, a new process each time", _rivet, _rivet_rows, pins("rivet"), _rivet_variables)
