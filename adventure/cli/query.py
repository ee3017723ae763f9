"""`adventure query`: one SELECT on the published tables, as a table, CSV or JSON."""

import csv
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adventure.cli.general import AsJson
from adventure.cli.job import settings_of

if TYPE_CHECKING:
    from adventure.destinations.select import Selected


def query(
    context: typer.Context,
    statement: Annotated[str, typer.Argument(help="One SELECT in the warehouse's SQL, in quotes.")],
    limit: Annotated[int, typer.Option(min=1, help="Rows to print.")] = 1000,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a line of column names.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run one SELECT on the published tables. It only reads, and neither waits for the tasks nor stops them."""
    from adventure.core.clock import when
    from adventure.core.log import get_logger
    from adventure.destinations.select import Bounds
    from adventure.factory import select
    from adventure.monitoring import as_json as json_output

    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json exclude each other")
    found = select(settings_of(context), statement, Bounds(limit))
    if as_json:
        json_output.write(asdict(found) | {"published_at": when(found.published_at)})
    elif as_csv:
        _write_csv(found)
    else:
        _print(found)
    if found.published_at:
        get_logger().debug(f"query: the tables were published at {found.published_at:%Y-%m-%d %H:%M:%S} UTC")
    if not found.is_complete:
        get_logger().warning(f"query: these are the first {limit:,} rows; --limit sets how many")


def _print(found: "Selected") -> None:
    from rich.text import Text

    from adventure.core.console import console, table

    numbers = {"INTEGER", "BIGINT", "HUGEINT", "DOUBLE", "FLOAT", "SMALLINT", "TINYINT", "UBIGINT", "UINTEGER"}
    rows = table("", left=())
    for column in found.columns:
        is_number = column["type"] in numbers or column["type"].startswith(("DECIMAL", "NUMBER"))
        rows.add_column(Text(column["name"]), justify="right" if is_number else "left", overflow="fold")
    for row in found.rows:
        rows.add_row(*(Text(_text(value, "NULL")) for value in row))
    console().print(rows)


def _write_csv(found: "Selected") -> None:
    written = csv.writer(sys.stdout, lineterminator="\n")
    written.writerow(column["name"] for column in found.columns)
    written.writerows([_text(value, "") for value in row] for row in found.rows)


def _text(value: Any, null: str) -> str:
    if value is None:
        return null
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
