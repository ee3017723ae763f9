"""Follow docs/your-own-business.md from an empty folder to a panel, with its own commands and files."""

import re
import shlex
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from streamlit.testing.v1 import AppTest

from adventure.dashboard import app
from adventure.demo.sandbox.databases import Databases
from adventure.destinations.duckdb.kind import REPORT_PATH, SALES_PATH
from tests.e2e.test_init import compare, folder, models, query, run, source

__all__ = ["folder", "source"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "your-own-business.md"
BLOCK = re.compile(r"^```(sql|sh|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(?:--|#) (dbt/\S+)\n")
ADDRESS = "postgresql://reader@localhost:5432/rentals"
REVENUE = """
select date_trunc('day', rented_at at time zone 'UTC')::date, count(*), sum(days * price)
from rental join film using (film_id) group by 1 order by 1
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_document_leads_to_a_panel(
    folder: Path, source: psycopg.Connection[Any], databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = databases.reader_env
    address = f"postgresql://{env['POSTGRES_USER']}@{env['POSTGRES_HOST']}:{env['POSTGRES_PORT']}/{env['POSTGRES_DB']}"
    commands = []
    for language, text in BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")):
        if found := FILE.match(text):
            (folder / found[1]).write_text(text, encoding="utf-8")
        elif language == "sql":
            source.execute(text)
        else:
            for line in text.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "adventure"
                commands.append(arguments[0])
                run(*(address if each == ADDRESS else each for each in arguments))
    assert commands == ["init", "doctor", "process", "tasks", "check", "status", "build"]

    for table in ("film", "rental"):
        compare(folder, source, table, f"stg_{table}", table)
    expected = source.execute(REVENUE).fetchall()
    assert expected[0][2] == Decimal("8.50")
    assert query(folder, "select day, rentals, revenue from dbt_prod.rentals_by_day order by day") == expected
    # None of the shop's models.
    assert {name for (name,) in models(folder)} == {"stg_film", "stg_rental", "rentals_by_day"}

    monkeypatch.setenv(SALES_PATH, str(folder / ".adventure" / "dashboard.duckdb"))
    monkeypatch.setenv(REPORT_PATH, str(folder / ".adventure" / "pipeline.duckdb"))
    page = AppTest.from_file(app.__file__, default_timeout=120).run()
    assert not page.exception
    assert [each.value for each in page.title] == ["Models"]
    assert [each.value for each in page.subheader] == ["Revenue per day"]
    assert "Price of a day times days, of all rentals that began on that day, in euros" in page.caption[-1].value
    unbuilt = AppTest.from_string(
        "from adventure.dashboard import models, published\nmodels.show_unbuilt(published.read_contents().unbuilt)"
    ).run()
    [why] = unbuilt.info
    assert "because the dbt project has no models of sales" in why.value
    pipeline = AppTest.from_string(
        "from adventure.dashboard.pipeline import page\npage.show()", default_timeout=60
    ).run()
    assert not pipeline.exception
    (drawn,) = (each.proto.body for each in pipeline.get("html") if "Pipeline flow" in each.proto.body)
    assert {"film", "rental"} <= set(re.findall(r"\w+", drawn))
    assert not {"orders", "chat_logs", "reviews"} & set(re.findall(r"\w+", drawn)), "none of the shop's streams"
    assert [found.value for found in pipeline.success], "all is well, over the rows of one's own tables"
