"""A failed test or a warning of dbt stays until the same test passes, whatever dbt runs in between."""

import json
from pathlib import Path

from adventure.destinations.common.dbt_results import declared_freshness, keep_results, read_results

NODES = {
    name: {"name": name, "resource_type": kind, "attached_node": "model.m", "relation_name": f"kept.{name}"}
    for name, kind in (("strict", "test"), ("lax", "test"), ("table", "model"))
}
AT = "2026-01-02T03:04:05.000000Z"


def run(target: Path, nodes: dict[str, dict[str, str]] = NODES, **statuses: str) -> list[tuple[str, str]]:
    """Let dbt run these tests, and return the kept results."""
    results = [{"unique_id": name, "status": is_, "failures": 2, "message": "Got 2"} for name, is_ in statuses.items()]
    (target / "run_results.json").write_text(json.dumps({"metadata": {"generated_at": AT}, "results": results}))
    (target / "manifest.json").write_text(json.dumps({"nodes": nodes, "sources": {}}))
    keep_results(target)
    found = read_results(target)
    assert found.tests == sum(NODES[name]["resource_type"] == "test" for name in statuses)
    return [(test, outcome) for test, _, _, outcome, *_ in found.failed]


def test_a_result_stays_until_the_test_passes(tmp_path: Path) -> None:
    assert read_results(tmp_path).failed == []
    assert run(tmp_path, strict="fail", lax="warn", table="success") == [("lax", "warn"), ("strict", "fail")]
    assert run(tmp_path, table="success") == [("lax", "warn"), ("strict", "fail")], "an increment runs other tests"
    assert run(tmp_path, strict="skipped") == [("lax", "warn"), ("strict", "fail")]
    assert run(tmp_path, strict="pass", table="error") == [("lax", "warn"), ("table", "error")]
    assert run(tmp_path, lax="fail") == [("lax", "fail"), ("table", "error")], "a newer result replaces an older one"
    left = {name: node for name, node in NODES.items() if name != "lax"}
    assert run(tmp_path, left, table="success") == [], "a test that was removed from the project has no result"


def test_the_freshness_of_each_source_is_read_from_the_project(tmp_path: Path) -> None:
    assert declared_freshness(tmp_path) == []
    day, hours = {"count": 1, "period": "day"}, {"count": 6, "period": "hour"}
    source = {"schema": "raw_ext", "identifier": "orders_raw", "loaded_at_field": "_loaded_at"}
    sources = {
        "a": source | {"freshness": {"warn_after": hours, "error_after": day}},
        "b": source | {"freshness": {"warn_after": {"count": None, "period": None}, "error_after": day}},
        "c": source | {"freshness": None},
        "d": source | {"freshness": {"warn_after": hours}, "loaded_at_field": None},
    }
    (tmp_path / "manifest.json").write_text(json.dumps({"nodes": {}, "sources": sources}))
    assert declared_freshness(tmp_path) == [
        ("raw_ext", "orders_raw", "_loaded_at", 21_600.0, 86_400.0),
        ("raw_ext", "orders_raw", "_loaded_at", None, 86_400.0),
    ]
