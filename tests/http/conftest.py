"""Fixtures: an API, a stream of it, cycles that read it, and a comparison with it, row for row."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from pydantic import SecretStr

from adventure.core.api import Api as ApiOptions
from adventure.core.environment import load_settings
from adventure.core.manifest import Window
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.factory import open_source
from adventure.processor.cycle import Pipeline, run_cycle
from adventure.processor.report import CycleReport, StreamReport
from adventure.processor.run import process_once
from adventure.processor.state import State
from tests.http.api import Api

LOOKBACK = timedelta(minutes=5)

REVIEWS = Stream(
    name="reviews",
    source="http",
    namespace="shop",
    table="reviews",
    cursor="meta.changed",
    key=("id",),
    stage="reviews_stage",
    raw_table="raw_ext.reviews_raw",
    lookback=LOOKBACK,
    api=ApiOptions(records="data.items", since="since", pages="next", next="paging.next", size="limit"),
)


def styled(style: str, **changes: Any) -> Stream:
    """Return the stream for an API whose pages are found in this way."""
    path = "paging.next" if style in ("next", "token") else ""
    parameter = "after" if style == "token" else "page"
    return replace(
        REVIEWS, api=REVIEWS.api.model_copy(update={"pages": style, "next": path, "page": parameter} | changes)
    )


@pytest.fixture
def api() -> Iterator[Api]:
    with Api().running() as running:
        yield running


@pytest.fixture
def api_settings(api: Api, tmp_path: Path) -> Settings:
    return load_settings(api_url=api.url, api_token="the-secret-token", data_dir=tmp_path / "adventure")


@dataclass
class MemoryState:
    """Watermarks in memory, so that these tests need no database."""

    watermarks: dict[str, Watermark] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)

    def advance(self, window: Window, owner: dict[str, str], origin: Origin) -> None:
        self.watermarks[window.stream] = Watermark(
            window.stream, window.high, window.horizon, window.mode, datetime.min, owner=owner, origin=origin
        )

    def save_position(self, *_: object) -> None:
        pass


@dataclass
class Reader:
    """Runs cycles of one stream, and reads what they staged."""

    settings: Settings
    pipeline: Pipeline

    def cycle(self, stream: Stream = REVIEWS) -> StreamReport:
        """Run the real cycle, and raise its failure."""
        report = run_cycle(replace(self.pipeline, streams=(stream,)))
        for failure in report.failures.values():
            raise failure
        return report.streams[0]

    def lines(self, name: str = "part-") -> list[bytes]:
        """Return the lines of the staged files, in the order of the windows."""
        stage = cast(FolderStage, self.pipeline.stage)
        files = [
            self.settings.stage_dir / "reviews_stage" / window.id / file.name
            for window in stage.windows("reviews_stage")
            for file in window.all_files
            if file.name.startswith(name)
        ]
        return [line for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]

    def held(self) -> dict[str, Any]:
        """Return the latest version of each key."""
        found = sorted(map(orjson.loads, self.lines()), key=lambda record: str(record["meta"]["changed"]))
        return {record["id"]: record for record in found}


@contextmanager
def reading(settings: Settings, retry_for: float | None = None) -> Iterator[Reader]:
    with closing(open_source("http", settings, retry_for=retry_for)) as source:
        stage, state = FolderStage(settings.stage_dir), cast(State, MemoryState())
        stage.identity(create=True)
        yield Reader(settings, Pipeline((), {"http": source}, stage, state, settings.unfinished_dir))


@pytest.fixture
def reader(api_settings: Settings) -> Iterator[Reader]:
    with reading(api_settings) as reader:
        yield reader


Run = Callable[..., CycleReport]


@pytest.fixture
def whole_settings(settings: Settings, api: Api) -> Settings:
    """Settings of the whole pipeline, with its databases."""
    return settings.model_copy(update={"api_url": api.url, "api_token": SecretStr("the-secret-token")})


@pytest.fixture
def run(whole_settings: Settings) -> Run:
    """Run a cycle of one stream and load it."""

    def process(stream: Stream = REVIEWS) -> CycleReport:
        report = process_once(whole_settings, [stream])
        warehouse = DuckDBWarehouse(whole_settings)
        warehouse.load(stream)
        warehouse.cleanup(stream)
        return report

    return process


def loaded(settings: Settings, stream: Stream = REVIEWS) -> dict[str, Any]:
    """Return the latest version of each key in the raw table."""
    rows = DuckDBWarehouse(settings).execute(f"select raw from {stream.latest_view}")
    found = [orjson.loads(raw) for (raw,) in rows]
    assert len({each["id"] for each in found}) == len(found)
    return {each["id"]: each for each in found}
