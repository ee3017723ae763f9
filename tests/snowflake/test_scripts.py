"""What can be said of snowflake/*.sql without an account: it parses, hangs together, and has the embedded tables."""

import re
from pathlib import Path

import duckdb
import pytest
from sqlfluff.core import Linter

import adventure.warehouse.duckdb as embedded
from adventure.settings import Settings, load_settings
from adventure.streams import Stream, load_streams
from adventure.warehouse.snowflake.scripts import deployment, split, stage_statements, task_statements, teardown
from tests.snowflake.account import create_tables
from tests.snowflake.procedure import Session

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "snowflake").glob("*.sql"))
TASKS = {name: ROOT / "snowflake" / f"4_tasks_{name}.sql" for name in ("scheduled", "triggered")}
STREAMS = load_streams(load_settings(pipeline_file=ROOT / "pipeline.toml"))
_CREATED = re.compile(
    r"create (?:or replace )?(role|user|warehouse|resource monitor|database|schema|stage|stream|table|task|procedure)"
    r"(?: if not exists)? (?:identifier\((\$\w+)\)|([\w.]+))"
)


def _statements(path: Path) -> list[str]:
    return list(split(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def linter() -> Linter:
    return Linter(dialect="snowflake")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_statement_parses(path: Path, linter: Linter) -> None:
    for statement in _statements(path):
        # A body in another language is judged by that language.
        found = linter.parse_string(re.sub(r"\$\$.*\$\$", "$$ $$", statement, flags=re.DOTALL) + ";\n").violations
        assert not found, f"{statement[:80]}: {[error.desc() for error in found]}"


def test_a_malformed_statement_does_not_parse(linter: Linter) -> None:
    assert linter.parse_string("create task load_orders warehouse wh as call f(;\n").violations


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_bodies_are_python(path: Path) -> None:
    for body in re.findall(r"\$\$(.*?)\$\$", path.read_text(encoding="utf-8"), re.DOTALL):
        compile(body, path.name, "exec")


def test_splitting_loses_nothing_and_knows_bodies_texts_and_comments() -> None:
    script = "-- one; two\nselect ';--'; -- three;\n\ncall f($$ a;\n-- b\n$$);\nselect 'it''s' - 1;\n"
    assert list(split(script)) == ["select ';--'", "call f($$ a;\n-- b\n$$)", "select 'it''s' - 1"]


@pytest.mark.parametrize("trigger", ["scheduled", "triggered"])
def test_what_is_used_is_made_before(trigger: str) -> None:
    made = {"snowflake"}  # Snowflake's own database
    variables: set[str] = set()
    for statement in deployment(load_settings(), STREAMS, trigger):  # type: ignore[arg-type]
        variables |= set(re.findall(r"^set (\w+)", statement))
        assert (
            set(re.findall(r"\$(\w+)", re.sub(r"\$\$.*\$\$", "", statement, flags=re.DOTALL))) - {"stream_has_data"}
            <= variables
        ), statement
        for used in re.findall(r"\bon (?:stage|warehouse|database|schema) (?:identifier\((\$\w+)\)|(\w+))", statement):
            assert "".join(used) in made, statement
        for used in re.findall(r"\b(?:to|from) role identifier\((\$\w+)\)|after (\w+)|call (\w+)\(", statement):
            assert "".join(used) in made, statement
        if stream := re.search(r"stream_has_data\('(\w+)'\)", statement):
            assert stream[1] in made
        if found := _CREATED.match(statement):
            made.add(found[2] or found[3])
    assert {"load_orders", "cleanup_chat_logs", "orders_raw", "$reader_role"} <= made


@pytest.mark.parametrize("trigger", TASKS)
def test_the_task_graph(trigger: str) -> None:
    statements = _statements(TASKS[trigger])
    tasks = {name: text for text in statements for name in re.findall(r"^create or replace task (\w+)", text)}
    after = {name: re.findall(r"\n    after (\w+)", text) for name, text in tasks.items()}
    assert {name: parents for name, parents in after.items() if parents} == {
        f"cleanup_{stream.name}": [f"load_{stream.name}"] for stream in STREAMS
    }
    for name, text in tasks.items():
        is_root = not after[name]
        assert ("stream_has_data" in text) == is_root
        assert ("schedule" in text) == (is_root and trigger == "scheduled")
        assert ("suspend_task_after_num_failures" in text) == is_root
    resumed = re.findall(r"alter task (\w+) resume", "\n".join(statements))
    assert sorted(resumed) == sorted(tasks)
    assert all(resumed.index(child) < resumed.index(parent) for child in after for parent in after[child])


def test_schedules_are_cron_lines() -> None:
    field = r"(\*|\d+)(/\d+)?"
    found = re.findall(r"schedule = '([^']+)'", TASKS["scheduled"].read_text(encoding="utf-8"))
    assert len(found) == len(STREAMS)
    assert all(re.fullmatch(rf"USING CRON {field} {field} {field} {field} {field} UTC", line) for line in found)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_stream_of_ones_own_gets_what_the_shipped_ones_have(stream: Stream) -> None:
    assert set(stage_statements(stream)) <= set(_statements(ROOT / "snowflake" / "2_raw_tables.sql"))
    for trigger, path in TASKS.items():
        assert set(task_statements(stream, trigger)) <= set(_statements(path))  # type: ignore[arg-type]


def test_a_stream_of_ones_own_is_deployed_after_the_procedure() -> None:
    stream = Stream(
        "returns", "postgres", "public", "returns", "at", ("id", "line"), "returns_stage", "raw_ext.returns_raw"
    )
    statements = deployment(load_settings(), (*STREAMS, stream), "scheduled")
    (load,) = [text for text in statements if text.startswith("create or replace task load_returns")]
    assert "array_construct('id', 'line'), 'at'" in load
    procedure = next(text for text in statements if "procedure run_stage_task" in text)
    assert statements.index(procedure) < statements.index(load)


def test_raw_tables_have_the_embedded_warehouses_columns() -> None:
    """Snowflake's own tables beside: `seen_files` is what its streams need. What builds remember is dbt's side."""
    folder = Path(embedded.__file__).parent
    with duckdb.connect() as database:
        for name in ("raw_tables.sql", "history_tables.sql"):
            database.execute((folder / name).read_text(encoding="utf-8"))
        rows = database.execute(
            "select schema_name, table_name, column_name from duckdb_columns() where not internal"
        ).fetchall()
    wanted: dict[str, list[str]] = {}
    for schema, table, column in rows:
        wanted.setdefault(f"{schema}.{table}", []).append(column)
    found = {}
    for statement in _statements(ROOT / "snowflake" / "2_raw_tables.sql"):
        if match := re.match(r"create table if not exists ([\w.]+) \((.*)\)$", statement, re.DOTALL):
            columns = re.findall(r'^    "?(\w+)"? ', match[2], re.MULTILINE)
            found[match[1] if "." in match[1] else f"raw_ext.{match[1]}"] = [column.lower() for column in columns]
    del found["raw_ext.seen_files"]
    assert found == {table: columns for table, columns in wanted.items() if table in found}
    assert set(wanted) - set(found) <= {"raw_ext.last_whole_build", "raw_ext.last_history"}


def test_names_are_those_of_the_settings() -> None:
    settings = load_settings(snowflake_database="SALES", snowflake_warehouse="SMALL_WH")
    assert {"set database_name = 'SALES'", "set warehouse_name = 'SMALL_WH'"} <= set(
        deployment(settings, STREAMS, "scheduled")
    )
    assert "set database_name = 'SALES'" in teardown(settings)


def test_what_deploy_makes_outside_of_the_database_destroy_removes() -> None:
    removed = re.findall(
        r"drop (role|user|warehouse|resource monitor|database) if exists identifier\((\$\w+)\)",
        "\n".join(teardown(load_settings())),
    )
    made = [
        match.group(1, 2)
        for text in deployment(load_settings(), STREAMS, "scheduled")
        if (match := _CREATED.match(text)) and match[2]
    ]
    assert sorted(removed) == sorted(made)


def test_nothing_removes_a_whole_stage() -> None:
    """A bare `remove @stage` takes files along that arrived after the load: each file goes by its full name."""
    removals = [
        line for path in SCRIPTS for line in path.read_text(encoding="utf-8").splitlines() if '"remove ' in line
    ]
    assert len(removals) == 1
    assert "remove {location(stage, window['id'], name)} pattern = '.*/{name.replace('.', '[.]')}'" in removals[0]
    assert not any(re.search(r"^\s*(remove|rm) @", path.read_text(encoding="utf-8"), re.MULTILINE) for path in SCRIPTS)


@pytest.mark.parametrize("trigger", TASKS)
def test_a_deployment_run_again_replaces_nothing_that_holds_anything(trigger: str) -> None:
    for statement in deployment(load_settings(), STREAMS, trigger):  # type: ignore[arg-type]
        assert not re.match(r"(drop|truncate|delete|undrop|insert|update|merge)\b", statement), statement
        assert not re.search(r"\b(rename|unset|swap with)\b", re.sub(r"\$\$.*\$\$", "", statement, flags=re.DOTALL)), (
            statement
        )
        if statement.startswith("create") and " if not exists " not in statement.splitlines()[0]:
            # What holds no rows may be made anew.
            assert re.match(r"create or replace (task|procedure|view|streamlit)\b", statement), statement
        if statement.startswith("alter user"):
            assert re.search(r" set timestamp_type_mapping = ", statement), statement


def test_a_deployment_run_again_keeps_the_rows(session: Session, snowflake_settings: Settings) -> None:
    tables = [
        found[1]
        for statement in _statements(ROOT / "snowflake" / "2_raw_tables.sql")
        if (found := re.match(r"create table if not exists ([\w.]+)", statement))
    ]
    for table in tables:
        described = session.sql(f"describe table {table}").collect()
        kinds = {row[0]: row[1] for row in described}
        values = ", ".join(
            "parse_json('{}')"
            if kind == "VARIANT"
            else f"'1'::{kind}"
            if "TIMESTAMP" not in kind
            else f"'2026-01-01'::{kind}"
            for kind in kinds.values()
        )
        session.sql(f"insert into {table} select {values}").collect()
    before = [session.sql(f"select * from {table}").collect() for table in tables]
    create_tables(snowflake_settings)
    assert [session.sql(f"select * from {table}").collect() for table in tables] == before
    assert all(before)
