"""Runs the procedure of snowflake/3_load_stages.sql, its very text, against the emulator, which has no procedures."""

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from snowflake.connector import SnowflakeConnection

SCRIPT = Path(__file__).parents[2] / "snowflake" / "3_load_stages.sql"


class Session:
    """What the procedure needs of a Snowpark session."""

    def __init__(self, connection: SnowflakeConnection) -> None:
        self._connection = connection
        self.file = self

    def sql(self, statement: str, params: Sequence[object] = ()) -> "_Statement":
        """A statement that runs when it is collected."""
        return _Statement(self._connection, statement, params)

    def get_stream(self, location: str) -> IO[bytes]:
        """A staged file."""
        from tests.snowflake.emulator import staged_path

        return io.BytesIO(staged_path(location, str(self._connection.database)).read_bytes())


class _Statement:
    def __init__(self, connection: SnowflakeConnection, statement: str, params: Sequence[object]) -> None:
        self._connection, self._statement, self._params = connection, statement, params

    def collect(self) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            return list(cursor.execute(self._statement, list(self._params) or None).fetchall())


def load_procedure() -> dict[str, Any]:
    """The names that the procedure's body defines."""
    (body,) = re.findall(r"\$\$\n(.*?)\$\$", SCRIPT.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(body, str(SCRIPT), "exec"), names)
    return names


run: Callable[..., str] = load_procedure()["run"]
