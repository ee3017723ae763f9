"""The compiled models and tests, and every statement that reached the emulator: words and types of Snowflake."""

import json

import pytest

from adventure.destinations.common.build import target_dir
from tests.snowflake.emulator import sent
from tests.snowflake.pair import DBT, Pair
from tests.snowflake.typed.project import faults_of_project
from tests.snowflake.typed.relations import Relations
from tests.snowflake.typed.words import faults_of_words

pytestmark = pytest.mark.slow

DATABASE = "PARITY"


def test_the_models_and_tests_have_snowflakes_words_and_types(pair: Pair) -> None:
    manifest = json.loads((target_dir(pair.snowflake) / "manifest.json").read_text(encoding="utf-8"))
    relations = Relations(DATABASE)
    for text in sent(DATABASE):
        relations.run("statement", text)
    faults = dict(faults_of_project(manifest, relations))
    models = {path.stem for path in DBT.glob("models/**/*.sql")}
    assert models <= faults.keys()
    assert len(faults) > 2 * len(models), "the data tests were not read"
    assert [fault for each in faults.values() for fault in each] == []


def test_every_statement_has_snowflakes_words_and_types(pair: Pair) -> None:
    """Those of dbt, the loads and the history; after the dashboard's tests, also the publication and the charts."""
    statements = sent(DATABASE)
    for begin in ("copy into", "insert into raw_ext.load_history", "list @", "merge into", "create or replace"):
        assert any(begin in text for text in statements), begin
    relations, faults = Relations(DATABASE), list[str]()
    for number, text in enumerate(statements, 1):
        name = f"statement {number}, `{' '.join(text.split())[:60]}`"
        faults += relations.run(name, text) + faults_of_words(name, text)
    assert faults == []
