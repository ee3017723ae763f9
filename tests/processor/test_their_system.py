"""A system as such teams have it: local time without a zone, text with an offset, no indexes, no replica set.

THEIR_SYSTEM_SECONDS makes the generator write for minutes.
"""

import os
import threading
import time
import uuid
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pymongo
import pytest
from pydantic import SecretStr

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox.mongo import MongoServer
from adventure.processor.run import process_once
from adventure.processor.state import read_watermarks

SECONDS = float(os.environ.get("THEIR_SYSTEM_SECONDS", "5"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 2 * SECONDS)]


# Denver, and the fixed offset of its summer.
@pytest.mark.parametrize("zone", ["America/Denver", "Etc/GMT+6"])
def test_nothing_is_lost(
    settings: Settings,
    writer_settings: Settings,
    streams: tuple[Stream, ...],
    standalone: MongoServer,
    zone: str,
    staged: Any,
) -> None:
    # The one change: the zone of the orders' clock, which no server can tell.
    streams = tuple(replace(each, timezone=zone) if each.source == "postgres" else each for each in streams)
    settings = settings.model_copy(update={"mongo_uri": SecretStr(standalone.uri)})
    with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as c:
        c.execute("drop index orders_last_modified; drop index order_details_last_modified")
        c.execute("create table processor_metadata (id int primary key, last_export timestamp)")
    written: list[str] = []
    stop = threading.Event()

    def write(hold: float) -> None:
        local = ZoneInfo(zone)
        with (
            psycopg.connect(writer_settings.postgres_dsn) as c,
            pymongo.MongoClient[dict[str, Any]](standalone.uri) as m,
        ):
            while not stop.is_set():
                key = str(uuid.uuid4())
                stamp = datetime.now(local)
                c.execute(
                    "insert into orders (sales_order_id, last_modified) values (%s, %s)",
                    [key, stamp.replace(tzinfo=None)],
                )
                time.sleep(hold)
                c.commit()
                written.append(key)
                m[settings.mongo_db][settings.mongo_collection].insert_one(
                    {"_id": key, "last_modified": stamp.isoformat()}
                )

    threads = [threading.Thread(target=write, args=[hold]) for hold in (0.02, 0.6)]
    for t in threads:
        t.start()
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        process_once(settings, streams)
    stop.set()
    for t in threads:
        t.join()
    process_once(settings, streams)
    assert set(written) - {str(row["sales_order_id"]) for row in staged(streams[0])} == set()
    assert set(written) - {row["_id"] for row in staged(streams[2])} == set()
    marks = read_watermarks(settings)
    assert zone in marks["orders"].mode, "status shows the zone"
    assert marks["chat_logs"].mode == "lookback: not a replica set"
