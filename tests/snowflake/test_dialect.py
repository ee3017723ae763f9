"""The compiled models and tests, and what dbt sends to the emulator: words and types of Snowflake."""

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


def test_the_statements_of_dbt_have_snowflakes_words_and_types(pair: Pair) -> None:
    """All statements that create something, or that read or write the models, in the order in which they came."""
    statements = [text for text in sent(DATABASE) if "dbt_prod" in text.lower() or text.startswith("create")]
    assert len(statements) > 100, "the statements were not recorded"
    relations, faults = Relations(DATABASE), list[str]()
    for number, text in enumerate(statements, 1):
        name = f"statement {number}, `{' '.join(text.split())[:60]}`"
        faults += relations.run(name, text) + faults_of_words(name, text)
    assert faults == []
