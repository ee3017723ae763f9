"""Compare every row of the source with the latest version of its key in the raw tables; runs in the tasks image.

It uses nothing of the product except settings and streams, so that it cannot share an error with it.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import bson.json_util
import duckdb
import httpx
import psycopg
import pymongo

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams

Rows = dict[str, tuple[str | None, ...]]


def text(value: object) -> str | None:
    """Return a value as text, the same for both sides."""
    if isinstance(value, datetime):
        return value.isoformat(" ", "microseconds")
    if isinstance(value, Decimal):
        return str(value.normalize())
    return None if value is None else str(value)


def served(url: str) -> Iterator[dict[str, Any]]:
    """Yield the reviews of the shop's API."""
    following: str | None = f"{url}/reviews?limit=1000"
    while following:
        answer = httpx.get(following).raise_for_status().json()
        yield from answer["reviews"]
        following = answer["next"] and str(httpx.URL(following).join(answer["next"]))


def main() -> None:
    settings = load_settings()
    warehouse = duckdb.connect(str(settings.duckdb_path), read_only=True)
    with psycopg.connect(settings.postgres_dsn) as postgres, pymongo.MongoClient[Any](settings.mongo_conninfo) as mongo:
        for stream in load_streams(settings):
            key = stream.key[0]
            latest = (
                f"select {{}} from {stream.raw_table} where _deleted_at is null"
                f" qualify row_number() over (partition by {{}} order by {{}} desc, _loaded_at desc) = 1"
            )
            source: Rows
            if stream.source == "postgres":
                cursor = postgres.execute(f"select * from {stream.table}")
                names = [column.name for column in cursor.description or ()]
                source = {str(row[names.index(key)]): tuple(map(text, row)) for row in cursor}
                columns = ", ".join(names)
                found = warehouse.execute(latest.format(columns, key, stream.cursor)).fetchall()
                raw: Rows = {str(row[names.index(key)]): tuple(map(text, row)) for row in found}
            elif stream.source == "http":
                source = {each["id"]: (json.dumps(each, sort_keys=True),) for each in served(settings.api_url)}
                statement = latest.format("raw", "raw->>'$.id'", f"raw->>'$.{stream.cursor}'")
                records = (json.loads(row[0]) for row in warehouse.execute(statement).fetchall())
                raw = {each["id"]: (json.dumps(each, sort_keys=True),) for each in records}
            else:
                documents = mongo[stream.namespace][stream.table].find()
                source = {str(each["_id"]): (str(sorted(plain(each).items())),) for each in documents}
                identity = "raw->>'$._id'"
                statement = latest.format("raw", identity, f"raw->>'$.{stream.cursor}'")
                parsed = (bson.json_util.loads(row[0]) for row in warehouse.execute(statement).fetchall())
                raw = {str(each["_id"]): (str(sorted(plain(each).items())),) for each in parsed}
            wrong = [name for name in source.keys() | raw.keys() if source.get(name) != raw.get(name)]
            print(f"{stream.name}: {len(source):,} rows at the source, {len(raw):,} keys in raw, {len(wrong)} differ")
            for name in wrong[:3]:
                print(f"  {name}\n    source {source.get(name)}\n    raw    {raw.get(name)}")
            assert source, f"{stream.name} has no rows: nothing was compared"


def plain(document: dict[str, Any]) -> dict[str, object]:
    """Return nested fields as text; dates have no zone and only milliseconds, since both sides have these."""
    return {name: moment(value) for name, value in document.items()}


def moment(value: object) -> object:
    """Convert a value, or the values within it."""
    if isinstance(value, dict):
        return sorted(plain(value).items())
    if isinstance(value, list):
        return [moment(each) for each in value]
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    return value.replace(tzinfo=None).isoformat(" ", "milliseconds") if isinstance(value, datetime) else text(value)


main()
