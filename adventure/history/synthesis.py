"""Writes a made-up history into files, in the form that `adventure history load` reads."""

import csv
import gzip
import io
import os
import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from adventure.catalogue import customers, products
from adventure.history.campaigns import campaign_documents
from adventure.history.orders import make_orders, order_documents
from adventure.history.purchasing import make_inventory, make_offers, make_vendors, purchase_documents

_MODIFIED = datetime(2014, 9, 12, 11, 15, 7)
# The files are read once, soon after: the fastest compression does.
_LEVEL = 1

_CUSTOMER_COLUMNS = (
    "customerid", "firstname", "middlename", "lastname", "fullname", "emailaddress", "addressline1", "addressline2", "city",
    "stateprovince", "countryregion", "postalcode", "accountnumber", "territoryid", "modifieddate",
)  # fmt: skip
_PRODUCT_COLUMNS = (
    "productid", "productname", "productnumber", "color", "standardcost", "listprice", "size", "sizeunitmeasure", "weight",
    "weightunitmeasure", "productline", "class", "style", "productcategory", "productsubcategory", "productmodel",
    "sellstartdate", "sellenddate", "discontinueddate", "modifieddate",
)  # fmt: skip
_INVENTORY_COLUMNS = ("productid", "locationid", "shelf", "bin", "quantity")
_OFFER_COLUMNS = (
    "productid", "vendorid", "averageleadtime", "standardprice", "lastreceiptcost", "lastreceiptdate", "minorderqty",
    "maxorderqty", "onorderqty", "unitmeasurecode", "modifieddate",
)  # fmt: skip
_VENDOR_COLUMNS = (
    "vendorid", "accountnumber", "name", "creditrating", "preferredvendorstatus", "activeflag", "purchasingwebserviceurl",
    "modifieddate",
)  # fmt: skip


def synthesise(folder: Path, *, seed: int) -> None:
    """Writes the files of all raw tables; the same seed writes the same bytes. The folder appears whole or not at all."""
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    unfinished.mkdir(parents=True)
    try:
        _write_sales(unfinished, seed)
        _write_purchasing(unfinished, seed)
        _write_catalogue(unfinished)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished)
        raise


def _write_sales(folder: Path, seed: int) -> None:
    orders = make_orders(seed)
    older, newer = campaign_documents(orders, seed)
    _write_lines(folder / "sales_order_raw.ndjson.gz", order_documents(orders, seed))
    _write_lines(folder / "email_campaign_raw.ndjson.gz", older)
    _write_lines(folder / "email_mktg_raw.ndjson.gz", newer)


def _write_purchasing(folder: Path, seed: int) -> None:
    vendors = make_vendors(seed)
    offers = make_offers(vendors, seed)
    _write_lines(folder / "purchase_order_raw.ndjson.gz", purchase_documents(offers, seed))
    _write_table(folder / "inventory_prod_db.csv.gz", _INVENTORY_COLUMNS, make_inventory(seed))
    _write_table(
        folder / "product_vendor_prod_db.csv.gz",
        _OFFER_COLUMNS,
        (
            (
                o.product_id, o.vendor_id, o.lead_time, _money(o.price), _money(o.last_cost), o.last_receipt, o.min_quantity,
                o.max_quantity, o.on_order, o.unit_measure, o.last_receipt,
            )
            for o in offers
        ),
    )  # fmt: skip
    _write_table(
        folder / "vendor_prod_db.csv.gz",
        _VENDOR_COLUMNS,
        (
            (
                v.vendor_id,
                v.account_number,
                v.name,
                v.credit_rating,
                int(v.is_preferred),
                int(v.is_active),
                None,
                v.since,
            )
            for v in vendors
        ),
    )


def _write_catalogue(folder: Path) -> None:
    _write_table(
        folder / "customer_prod_db.csv.gz",
        _CUSTOMER_COLUMNS,
        (
            (
                c.customer_id, c.first_name, c.middle_name, c.last_name, c.full_name, c.email, c.address_line1,
                c.address_line2, c.city, c.state, c.country, c.postal_code, c.customer_number, c.territory_id, _MODIFIED,
            )
            for c in customers()
        ),
    )  # fmt: skip
    _write_table(
        folder / "product_prod_db.csv.gz",
        _PRODUCT_COLUMNS,
        (
            (
                p.product_id, p.name, p.product_number, p.color, p.standard_cost, p.list_price, p.size, p.size_unit,
                p.weight, p.weight_unit, p.product_line, p.product_class, p.style, p.category, p.subcategory, p.model,
                p.sell_start, p.sell_end, None, _MODIFIED,
            )
            for p in products()
        ),
    )  # fmt: skip


def _write_lines(path: Path, documents: Iterable[bytes]) -> None:
    path.write_bytes(_compressed(b"".join(document + b"\n" for document in documents)))


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    path.write_bytes(_compressed(text.getvalue().encode()))


def _compressed(content: bytes) -> bytes:
    # mtime=0: the same content gives the same bytes.
    return gzip.compress(content, _LEVEL, mtime=0)


def _money(ten_thousandths: int) -> str:
    return f"{ten_thousandths // 10_000}.{ten_thousandths % 10_000:04d}"
