"""The tools of the server, each of which only reads.

The transport is stdio, or HTTP on the loopback address: the server has no authentication of its own.
"""

from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import Any, ParamSpec, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from adventure.core.errors import AdventureError
from adventure.core.extras import DISTRIBUTION
from adventure.core.kinds import WAREHOUSES
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.common.build import target_dir
from adventure.destinations.select import Bounds
from adventure.factory import select
from adventure.mcp import models

HOST = "127.0.0.1"

MOST_ROWS = 1000
MOST_TEXT = 200_000
"""Characters in an answer: what an agent can read."""
MOST_SECONDS = 10.0

_INSTRUCTIONS = """\
Adventure moves sales from PostgreSQL and support chats from MongoDB into a warehouse and models them with dbt.
Ask `problems` whether the data can be trusted before you quote figures. Ask `models` and `model` for the meaning of the
columns. `query` reads the published models only. All timestamps are UTC. Decimals are text.
"""

P = ParamSpec("P")
R = TypeVar("R")


def make_server(settings: Settings, streams: tuple[Stream, ...]) -> MCPServer[Any]:
    """Return the server with its tools."""
    server = MCPServer("adventure", version=version(DISTRIBUTION), instructions=_INSTRUCTIONS, log_level="WARNING")
    tools = _Tools(settings, streams)
    reads = ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False)
    for tool in (tools.status, tools.problems, tools.streams, tools.models, tools.model, tools.query):
        server.add_tool(_failing_plainly(tool), annotations=reads)
    return server


def serve(settings: Settings, streams: tuple[Stream, ...], port: int | None) -> None:
    """Serve on stdin and stdout, or with a port on http://127.0.0.1:PORT/mcp, until the client or Ctrl-C ends it."""
    server = make_server(settings, streams)
    if port is None:
        server.run("stdio")
    else:
        server.run("streamable-http", host=HOST, port=port)


class _Tools:
    """The docstring of each method is the description that the agent reads."""

    def __init__(self, settings: Settings, streams: tuple[Stream, ...]) -> None:
        self._settings, self._streams = settings, streams
        self._manifest = target_dir(settings) / "manifest.json"

    def status(self) -> dict[str, Any]:
        """Return each stream's watermark and loaded rows, the processor, the last task runs, and the problems."""
        from adventure.monitoring import as_json
        from adventure.monitoring.pipeline_status import read_status

        return as_json.status(read_status(self._settings, self._streams))

    def problems(self) -> dict[str, Any]:
        """Return what is wrong with the pipeline now, each problem with its fix. An empty list means: nothing is."""
        status = self.status()
        return {"at": status["at"], "problems": status["problems"], "not_read": status["not_read"]}

    def streams(self) -> dict[str, Any]:
        """Return the streams: each moves one table or collection to one raw table."""
        return {
            "streams": [
                {
                    "stream": stream.name,
                    "source": stream.kind.title,
                    "table": stream.location,
                    "key": list(stream.key),
                    "cursor": stream.cursor,
                    "stage": stream.stage,
                    "raw_table": stream.raw_table,
                }
                for stream in self._streams
            ]
        }

    def models(self) -> dict[str, Any]:
        """Return the models of the warehouse with their descriptions. `query` reads those that are published."""
        return {"models": models.list_models(self._manifest)}

    def model(self, name: str) -> dict[str, Any]:
        """Return one model with the type and the meaning of each column."""
        return models.describe_model(self._manifest, name)

    def query(self, statement: str, limit: int = 100) -> dict[str, Any]:
        """Run one SELECT of DuckDB's SQL on the published models, and return at most `limit` rows (up to 1,000).

        `is_complete` is false if there are more rows than were returned. A statement is stopped after 10 seconds.
        """
        warehouse = self._settings.warehouse
        if not WAREHOUSES[warehouse].publishes_file:
            raise AdventureError(
                f"WAREHOUSE={warehouse} publishes no file, and only a file can be opened so that an agent cannot write",
                "Let a person run `adventure query 'select …'`",
            )
        bounds = Bounds(max(1, min(limit, MOST_ROWS)), MOST_TEXT, MOST_SECONDS)
        found = select(self._settings, statement, bounds)
        return {"columns": found.columns, "rows": found.rows, "is_complete": found.is_complete}


def _failing_plainly(tool: Callable[P, R]) -> Callable[P, R]:
    """Turn an error with a remedy into the tool's answer."""

    @wraps(tool)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return tool(*args, **kwargs)
        except AdventureError as error:
            raise ToolError(str(error)) from error

    return run
