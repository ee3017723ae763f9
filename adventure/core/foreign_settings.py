"""Names of other pipelines' settings: what takes their place here, so that no line of an existing `.env` is lost."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from dotenv import dotenv_values

from adventure.core.kinds import WAREHOUSES

REPLACED_BY: Mapping[str, str] = {
    "PROCESSOR_ENABLE_COPY_INTO": "`adventure tasks run` or `adventure tasks serve` loads; the processor never does",
    "PROCESSOR_ENABLE_CLEANUP": "each load is followed by a cleanup task, which removes only loaded files",
    "PROCESSOR_BATCH_SIZE": "a window holds all new rows, and is split by itself",
    "LOG_LEVEL": "the options -q and -v; LOG_FORMAT chooses text or json",
    "SNOWFLAKE_SCHEMA": "`raw_table` of each stream in pipeline.toml names the schema",
    "POSTGRES_DATABASE": "POSTGRES_DB",
    "POSTGRES_SCHEMA": "`namespace` of each stream in pipeline.toml",
    "POSTGRES_URL": "POSTGRES_HOST, POSTGRES_PORT, POSTGRES_DB, POSTGRES_USER and POSTGRES_PASSWORD",
    "DATABASE_URL": "POSTGRES_HOST, POSTGRES_PORT, POSTGRES_DB, POSTGRES_USER and POSTGRES_PASSWORD",
    "MONGO_DATABASE": "MONGO_DB",
    "MONGO_URL": "MONGO_URI",
    "MONGO_USER": "MONGO_URI, which holds user and password: mongodb://USER:PASSWORD@HOST:27017/?authSource=admin",
    "MONGO_USERNAME": "MONGO_URI, which holds user and password: mongodb://USER:PASSWORD@HOST:27017/?authSource=admin",
    "MONGO_PASSWORD": "MONGO_URI, which holds user and password: mongodb://USER:PASSWORD@HOST:27017/?authSource=admin",
    "GENERATION_BATCH_SIZE": "ORDER_BATCH_SIZE",
    "GENERATION_ORDER_BATCH_SIZE": "ORDER_BATCH_SIZE",
    "CHATS_STAGE": "CHAT_STAGE",
    "CHAT_LOGS_STAGE": "CHAT_STAGE",
}
"""What to use in the place of each name."""


def notices(env_file: Path | None, warehouse: str) -> Iterator[str]:
    """Yield one sentence for each given variable that has no effect here, with what takes its place.

    Args:
        env_file: the settings file; None for `.env`, which need not exist.
        warehouse: the warehouse of the settings.
    """
    given = {name.upper() for name, value in {**dotenv_values(env_file or ".env"), **os.environ}.items() if value}
    for name, replacement in REPLACED_BY.items():
        if name in given:
            yield f"{name} is not a setting of Adventure and has no effect. In its place: {replacement}"
    for other in WAREHOUSES:
        if other != warehouse and f"{other.upper()}_ACCOUNT" in given:
            yield (
                f"{other.upper()}_ACCOUNT is set, but WAREHOUSE is {warehouse}, so the {other.upper()}_* settings have"
                f" no effect. Set WAREHOUSE={other} to use them"
            )
