"""Write a synthetic history into files, in the format that `adventure history load` reads."""

import csv
import io
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from isal import igzip

from adventure.core.private import make_folder
from adventure.demo.history.campaigns import campaign_documents
from adventure.demo.history.databases import Row, customer_rows, inventory_rows, offer_rows, product_rows, vendor_rows
from adventure.demo.history.orders import make_orders, order_documents
from adventure.demo.history.purchasing import make_offers, make_vendors, purchase_documents

# The files are read once, right after: use the fastest compression.
_LEVEL = 0


def synthesise(folder: Path, *, seed: int) -> None:
    """Write the files of all raw tables; the same seed gives the same bytes. The folder appears only when complete."""
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    make_folder(unfinished)
    try:
        _write_files(unfinished, seed)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished)
        raise


def _write_files(folder: Path, seed: int) -> None:
    orders = make_orders(seed)
    older, newer = campaign_documents(orders, seed)
    vendors = make_vendors(seed)
    offers = make_offers(vendors, seed)
    _write_documents(folder, "sales_order_raw", order_documents(orders, seed))
    _write_documents(folder, "email_campaign_raw", older)
    _write_documents(folder, "email_mktg_raw", newer)
    _write_documents(folder, "purchase_order_raw", purchase_documents(offers, seed))
    _write_rows(folder, "customer_prod_db", customer_rows())
    _write_rows(folder, "product_prod_db", product_rows())
    _write_rows(folder, "inventory_prod_db", inventory_rows(seed))
    _write_rows(folder, "product_vendor_prod_db", offer_rows(offers))
    _write_rows(folder, "vendor_prod_db", vendor_rows(vendors))


def _write_documents(folder: Path, table: str, documents: Iterable[bytes]) -> None:
    content = b"".join(document + b"\n" for document in documents)
    (folder / f"{table}.ndjson.gz").write_bytes(_compressed(content))


def _write_rows(folder: Path, table: str, rows: Iterable[Row]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for number, row in enumerate(rows):
        if number == 0:
            writer.writerow(row.keys())
        writer.writerow(row.values())
    (folder / f"{table}.csv.gz").write_bytes(_compressed(text.getvalue().encode()))


def _compressed(content: bytes) -> bytes:
    # With mtime=0 the same content gives the same bytes.
    return igzip.compress(content, _LEVEL, mtime=0)
