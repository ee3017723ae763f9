"""The Prometheus rules and the Grafana dashboard use metrics and labels that the pipeline writes."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from adventure.core.clock import utc_now
from adventure.core.errors import ConfigError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.run import backfill
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.monitoring.health.problem import KINDS
from adventure.monitoring.health.state import KeptLog, Observed, SourceState
from adventure.processor.cycle import run_cycle
from adventure.processor.metrics import ProcessorMetrics
from adventure.processor.run import open_pipeline
from adventure.tasks.graph import run_loads
from adventure.tasks.metrics import TaskMetrics

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "monitoring"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
RULES = yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))

FROM_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus adds to every series that it scrapes."""

Series = dict[str, set[str]]
"""The labels of each metric."""


def rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


EXPRESSIONS = [
    *(pytest.param(rule["expr"], json.dumps(rule["annotations"]), id=rule["alert"]) for rule in rules()),
    *(
        pytest.param(
            target["expr"],
            target["legendFormat"].replace("{{", "{{ $labels."),
            id=f"{panel['title']} {target['refId']}",
        )
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    ),
]


@pytest.fixture(scope="module")
def written() -> Series:
    return {}


@pytest.fixture
def series(written: Series, request: pytest.FixtureRequest) -> Series:
    """The metrics of a real cycle and a real run of the tasks, as Prometheus reads them."""
    if not written:
        settings: Settings = request.getfixturevalue("settings")
        streams: tuple[Stream, ...] = request.getfixturevalue("streams")
        backfill(request.getfixturevalue("writer_settings"), orders=3, days=2, seed=1)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        processor, tasks = ProcessorMetrics(registry), TaskMetrics(registry)
        with open_pipeline(settings, streams) as pipeline:
            processor.cycle(run_cycle(pipeline), pipeline.state.watermarks, pipeline.streams, 0.1)
        processor.failed({"orders": ConfigError("no")})
        for run in run_loads(settings, streams):
            tasks.run(run)
        tasks.set_totals(DuckDBWarehouse(settings).totals(streams), {stream.name: 0 for stream in streams})
        kept = SourceState("postgres", ("orders",), kept=KeptLog("adventure_1", 2_000, 1_000))
        tasks.set_kept_logs(Observed(utc_now(), (kept,)))
        for family in text_string_to_metric_families(generate_latest(registry).decode()):
            for sample in family.samples:
                written.setdefault(sample.name, set()).update(sample.labels)
        written["up"] = set()
    return written


def nodes(expression: str) -> Iterator[Any]:
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(expression), found.append)
    yield from found


@pytest.mark.parametrize(("expression", "text"), EXPRESSIONS)
def test_an_expression_uses_metrics_and_labels_that_exist(series: Series, expression: str, text: str) -> None:
    labels: set[str] = set()
    for node in nodes(expression):
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name in series
            labels |= series[node.name] | FROM_PROMETHEUS
            assert {matcher.name for matcher in node.matchers.matchers} <= labels
        elif isinstance(node, promql_parser.AggregateExpr):
            kept = set(node.modifier.labels) if node.modifier else set()
            selected = {each.name for each in nodes(node.expr.prettify()) if hasattr(each, "matchers")}
            assert all(kept <= series[name] for name in selected)
    outermost = promql_parser.parse(expression)
    inner = next((node for node in nodes(expression) if isinstance(node, promql_parser.AggregateExpr)), None)
    if isinstance(outermost, promql_parser.AggregateExpr) or inner:
        labels = set(inner.modifier.labels) - {"le"} if inner and inner.modifier else set()
    assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels


def test_every_metric_is_shown_or_watched(series: Series) -> None:
    used = {
        node.name
        for parameters in EXPRESSIONS
        for node in nodes(str(parameters.values[0]))
        if isinstance(node, promql_parser.VectorSelector)
    }
    own = {name for name in series if name.startswith("adventure_") and not name.endswith("_created")}
    assert {re.sub("_(sum|count)$", "_bucket", name) for name in own} <= used


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_has_the_form_of_prometheus_and_names_a_heading(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("error", "warning")
    assert rule["annotations"].keys() == {"summary", "runbook_url"}
    promql_parser.parse_duration(rule.get("for", "1m"))
    heading = rule["annotations"]["runbook_url"].partition("docs/operations.md#")[2]
    assert heading == "{{ $labels.kind }}" or re.search(rf"^#+ {heading}$", OPERATIONS, re.MULTILINE | re.IGNORECASE)
    # Prometheus reads a value in braces as a Go template.
    assert all(text.count("{{") == text.count("}}") for text in rule["annotations"].values())


def test_each_kind_of_problem_is_in_exactly_one_rule() -> None:
    named = [
        kind
        for rule in rules()
        for node in nodes(rule["expr"])
        if getattr(node, "name", None) == "adventure_problem"
        for matcher in node.matchers.matchers
        for kind in matcher.value.split("|")
    ]
    assert sorted(named) == sorted(KINDS)


def test_the_names_of_the_rules_are_unique_and_groups_have_the_form_of_prometheus() -> None:
    assert set(RULES) == {"groups"}
    assert all(group.keys() == {"name", "rules"} for group in RULES["groups"])
    for names in ([group["name"] for group in RULES["groups"]], [rule["alert"] for rule in rules()]):
        assert len(names) == len(set(names))


def test_the_dashboard_can_be_imported() -> None:
    [variable] = DASHBOARD["templating"]["list"]
    panels = DASHBOARD["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    for panel in panels:
        assert {panel["datasource"]["uid"], *(each["datasource"]["uid"] for each in panel["targets"])} == {
            f"${{{variable['name']}}}"
        }
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)), "panels overlap"


@pytest.mark.parametrize(
    "expression", ["rate(adventure_loaded_rows)", "sum by (stream (adventure_loaded_rows)", "nonsense(up)"]
)
def test_an_expression_that_prometheus_refuses_is_found(expression: str) -> None:
    parse: Callable[[str], Any] = promql_parser.parse
    with pytest.raises(ValueError, match=r"\w"):
        parse(expression)
