"""A pipeline of one's own streams on Snowflake, where `deploy` has made the shop's raw tables all the same."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from adventure.core.manifest import Window
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.snowflake.warehouse import SnowflakeWarehouse
from tests.snowflake import account
from tests.snowflake.pair import DBT
from tests.snowflake.procedure import Session, run
from tests.snowflake.test_load_stages import orders, put, stage  # noqa: F401 - fixtures

pytestmark = pytest.mark.slow

FILMS = Stream("film", "postgres", "public", "film", "last_modified", ("sales_order_id",), "film_stage", "raw_ext.film")
PROJECT = """
name: films
version: "1.0"
profile: adventure
models:
  films:
    +materialized: table
"""
SOURCES = """
sources:
  - name: raw_ext
    tables:
      - name: film
      - name: orders_raw
"""


@pytest.fixture
def with_films(snowflake_settings: Settings, tmp_path: Path) -> Settings:
    """A project with models of the films and of the shop's orders. A model has the project's name."""
    models = tmp_path / "dbt" / "models"
    models.mkdir(parents=True)
    shutil.copy(DBT / "profiles.yml", tmp_path / "dbt")
    (tmp_path / "dbt" / "dbt_project.yml").write_text(PROJECT)
    (models / "sources.yml").write_text(SOURCES)
    (models / "films.sql").write_text("select * from {{ source('raw_ext', 'film') }}")
    (models / "titles.sql").write_text("select sales_order_id from {{ ref('films') }}")
    (models / "sales.sql").write_text("select * from {{ source('raw_ext', 'orders_raw') }}")
    (models / "films_and_sales.sql").write_text("select * from {{ ref('titles') }}, {{ ref('sales') }}")
    account.create_tables(snowflake_settings, FILMS)
    return snowflake_settings.model_copy(update={"dbt_dir": tmp_path / "dbt"})


def test_only_the_models_of_the_pipelines_streams_are_built(
    with_films: Settings,
    session: Session,
    put: Callable[..., Window],  # noqa: F811 - the fixture
) -> None:
    film = ("film", "columns", "film_stage", "raw_ext.film", ["sales_order_id"], "last_modified")
    put(task=film, data=orders("a", "b"))
    run(session, "load", *film)
    warehouse = SnowflakeWarehouse(with_films)
    assert "2 models" in warehouse.build([FILMS], "whole")
    built = session.sql("select lower(table_name) from information_schema.tables where table_schema = 'DBT_PROD'")
    assert sorted(row[0] for row in built.collect()) == ["films", "titles"]
    assert session.sql("select sales_order_id from dbt_prod.titles order by 1").collect() == [("a",), ("b",)]
