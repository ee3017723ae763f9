"""Names that are no settings here: misspelt ones, and those of other pipelines with what takes their place.

So no line of a `.env` is without effect in silence.
"""

import difflib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from dotenv import dotenv_values

from adventure.core.kinds import WAREHOUSES
from adventure.core.packaged import FOLDER

_LISTED = re.compile(r"^#?([A-Z][A-Z0-9_]*)=", re.MULTILINE)
"""A variable of .env.example, also one that is commented out."""

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


def find_warnings(env_file: Path | None, warehouse: str, others: Collection[str] = ()) -> Iterator[str]:
    """Yield one sentence for each given variable that has no effect here, with what takes its place.

    Args:
        env_file: the settings file; None for `.env`, which need not exist.
        warehouse: the warehouse of the settings.
        others: settings that .env.example does not list, because they are those of the pipeline's own sources.
    """
    in_file = dotenv_values(env_file or ".env")
    given = {name.upper() for name, value in {**in_file, **os.environ}.items() if value}
    for name, replacement in REPLACED_BY.items():
        if name in given:
            yield f"{name} is not a setting of Adventure and has no effect. In its place: {replacement}"
    if in_file:
        yield from _unknown(in_file, others)
    for other in WAREHOUSES:
        if other != warehouse and f"{other.upper()}_ACCOUNT" in given:
            yield (
                f"{other.upper()}_ACCOUNT is set, but WAREHOUSE is {warehouse}, so the {other.upper()}_* settings have"
                f" no effect. Set WAREHOUSE={other} to use them"
            )


def _unknown(in_file: Mapping[str, str | None], others: Collection[str]) -> Iterator[str]:
    """Yield one sentence for each variable of the settings file that .env.example does not list.

    The environment is not looked at: most of its variables are of other programs.
    """
    known = set(_LISTED.findall((FOLDER / ".env.example").read_text(encoding="utf-8"))) | set(others)
    for name in in_file:
        if name.upper() not in known | REPLACED_BY.keys():
            near = difflib.get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.75)
            yield f"{name} is not a setting of Adventure and has no effect." + (
                f" Did you mean {near[0]}?" if near else ""
            )
