"""Test which files `adventure history load` accepts, and its errors for the others."""

import csv
import gzip
import io
import json
import shutil
from pathlib import Path

import duckdb
import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError
from adventure.demo.history import load
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse

FORMS = ["ndjson", "ndjson.gz", "json", "json.gz", "csv", "csv.gz", "parquet"]
VENDORS = [
    {
        "VendorID": str(1492 + number),
        "AccountNumber": f"SUPPLY{number}",
        "Name": name,
        "CreditRating": "1",
        "PreferredVendorStatus": "1",
        "ActiveFlag": "1",
        "PurchasingWebServiceURL": None,
        "ModifiedDate": "2011-04-25 00:00:00",
    }
    for number, name in enumerate(("Alpine, Ltd", 'The "Crest"', "Zoë Supply"))
]


def write(path: Path, rows: list[dict[str, str | None]]) -> Path:
    """Write the rows in the format given by the file name."""
    form = path.name.partition(".")[2]
    if form == "parquet":
        source = write(path.with_suffix(".source.json"), rows)
        duckdb.execute(f"copy (from read_json('{source}', hive_partitioning = false)) to '{path}' (format parquet)")
        source.unlink()
        return path
    if form.startswith("csv"):
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        content = text.getvalue()
    elif form.startswith("ndjson"):
        content = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        content = json.dumps(rows)
    path.write_bytes(gzip.compress(content.encode()) if form.endswith(".gz") else content.encode())
    return path


def loaded(tmp_path: Path, files: Path) -> list[tuple[object, ...]]:
    settings = load_settings(data_dir=tmp_path / "data")
    load(settings, files, allow_missing=True)
    return DuckDBWarehouse(settings).execute(
        "select vendorid::varchar, accountnumber, name, creditrating::varchar, purchasingwebserviceurl, _file"
        " from adventure_db.vendor_prod_db order by vendorid"
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("as_folder", [False, True], ids=["file", "folder"])
def test_every_form_gives_the_same_rows(tmp_path: Path, files: Path, form: str, *, as_folder: bool) -> None:
    if as_folder:
        (files / "Vendor_Prod_DB").mkdir()
        parts = {"Vendor_Prod_DB/part-0": VENDORS[:2], "Vendor_Prod_DB/part-1": VENDORS[2:]}
    else:
        parts = {"vendor_prod_db": VENDORS}
    for name, rows in parts.items():
        write(files / f"{name}.{form}", rows)
    held = loaded(tmp_path, files)
    assert [row[:5] for row in held] == [
        (row["VendorID"], row["AccountNumber"], row["Name"], "1", None) for row in VENDORS
    ]
    assert {str(row[5]) for row in held} == {f"{name}.{form}" for name in parts}


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_named_like_a_column_changes_no_value(tmp_path: Path, form: str) -> None:
    files = tmp_path / "creditrating=9"
    files.mkdir()
    write(files / f"vendor_prod_db.{form}", VENDORS)
    assert [row[3] for row in loaded(tmp_path, files)] == ["1"] * len(VENDORS)


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_column_is_named(tmp_path: Path, files: Path, form: str) -> None:
    rows = [{name: value for name, value in row.items() if name != "CreditRating"} for row in VENDORS]
    write(files / f"vendor_prod_db.{form}", rows)
    with pytest.raises(ConfigError, match=rf"vendor_prod_db\.{form} has no column creditrating"):
        loaded(tmp_path, files)


@pytest.mark.parametrize("form", FORMS)
def test_a_value_that_does_not_fit_is_named_with_its_row(tmp_path: Path, files: Path, form: str) -> None:
    write(files / f"vendor_prod_db.{form}", [*VENDORS[:2], VENDORS[2] | {"CreditRating": "good"}])
    with pytest.raises(ConfigError, match=rf"vendor_prod_db\.{form} .*row 3: creditrating 'good'"):
        loaded(tmp_path, files)


@pytest.mark.parametrize(
    ("name", "damage", "expected"),
    [
        ("vendor_prod_db.ndjson", lambda text: text.replace(b'{"VendorID": "1493"', b"{VendorID"), "row 2"),
        ("vendor_prod_db.json", lambda text: text[:-20], "cannot be read"),
        ("vendor_prod_db.csv", lambda text: text.replace(b"\n1494,", b"\n1494,one,too,many,fields,"), "line 4"),
        ("vendor_prod_db.csv.gz", lambda text: text[:-12], "cannot be read"),
        ("vendor_prod_db.ndjson.gz", lambda text: text[:-12], "cannot be read"),
        ("vendor_prod_db.parquet", lambda text: text[:-12], "cannot be read"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, files: Path, name: str, damage: object, expected: str) -> None:
    path = write(files / name, VENDORS)
    assert callable(damage)
    before = path.read_bytes()
    path.write_bytes(damage(before))
    assert path.read_bytes() != before
    with pytest.raises(ConfigError, match=expected) as raised:
        loaded(tmp_path, files)
    assert name in str(raised.value)


def test_missing_and_duplicate_files_are_named_and_nothing_is_replaced(tmp_path: Path, files: Path) -> None:
    write(files / "vendor_prod_db.csv", VENDORS)
    before = loaded(tmp_path, files)
    settings = load_settings(data_dir=tmp_path / "data")
    with pytest.raises(ConfigError, match="no file for sales_order_raw"):
        load(settings, files)
    shutil.copy(files / "vendor_prod_db.csv", files / "vendor_prod_db.CSV.bak")
    with pytest.raises(ConfigError, match="more than once"):
        load(settings, files, allow_missing=True)
    (files / "vendor_prod_db.CSV.bak").unlink()
    write(files / "vendor_prod_db.csv", [VENDORS[0] | {"CreditRating": "good"}])
    with pytest.raises(ConfigError, match="row 1"):
        load(settings, files, allow_missing=True)
    write(files / "vendor_prod_db.csv", VENDORS)
    assert loaded(tmp_path, files) == before


@pytest.mark.parametrize("form", FORMS)
def test_documents_keep_every_digit_in_every_form(tmp_path: Path, files: Path, form: str) -> None:
    event: dict[str, str | None] = {
        "campaign_id": "a~b~c",
        "event_date": "29-May-2011 12.05 PM",
        "event_type": "email_opened",
    }
    numbers = {"customer_id": "11000", "event_id": "12345678901234567890", "order_id": None, "product_id": "707"}
    write(files / f"email_campaign_raw.{form}", [{**event, **numbers}])
    settings = load_settings(data_dir=tmp_path / "data")
    load(settings, files, allow_missing=True)
    [(raw,)] = DuckDBWarehouse(settings).execute(
        "select json_object('id', raw->>'event_id', 'order', raw->>'order_id', 'date', raw->>'event_date')::varchar"
        " from ecom.email_campaign_raw"
    )
    assert json.loads(raw) == {"id": "12345678901234567890", "order": None, "date": "29-May-2011 12.05 PM"}
