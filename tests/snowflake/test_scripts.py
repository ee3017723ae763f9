"""What can be said of snowflake/*.sql without an account: it parses, hangs together, and has the embedded tables."""

import ast
import importlib.metadata
import re
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import duckdb
import pytest
import yaml
from snowflake.connector.util_text import split_statements
from sqlfluff.core import Linter

import adventure.destinations.duckdb.warehouse as embedded
from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.snowflake.one_role import OWN_SCHEMAS, READS_METERING, deployment_as, teardown_as
from adventure.destinations.snowflake.scripts import (
    deployment,
    names,
    split,
    stage_statements,
    task_statements,
    teardown,
)
from tests.snowflake import scripting
from tests.snowflake.account import create_tables
from tests.snowflake.procedure import Session

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "snowflake").rglob("*.sql"))
UNKNOWN = (
    # A block runs it, whose body the linter does not see.
    "alter streamlit app add live version from last",
    # Without DBT_VERSION the linter knows it.
    "create or replace dbt project models from '@project_files' dbt_version = '1.11.11'",
)
"""What Snowflake's manual has and the linter does not."""
TASKS = {name: ROOT / "snowflake" / f"4_tasks_{name}.sql" for name in ("scheduled", "triggered")}
LOADING = ROOT / "snowflake" / "3_load_stages.sql"
STREAMS = load_streams(load_settings(pipeline_file=ROOT / "pipeline.toml"))
_CREATED = re.compile(
    r"create (?:or replace )?(role|user|warehouse|resource monitor|database|schema|stage|stream|table|task|procedure)"
    r"(?: if not exists)? (?:identifier\((\$\w+)\)|([\w.]+))"
)


def _statements(path: Path) -> list[str]:
    return list(split(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_snowflakes_command_line_splits_the_file_into_the_same_statements(path: Path) -> None:
    """`snow sql -f` splits with the connector's function, and would fill in `<% names %>` and `&names`."""
    script = path.read_text(encoding="utf-8")
    assert not re.search(r"<%|&\w|&\{", script)
    theirs = [text.rstrip().removesuffix(";") for text, _ in split_statements(StringIO(script), remove_comments=True)]
    assert [_words(text) for text in theirs if text] == [_words(text) for text in _statements(path)]


def _words(statement: str) -> str:
    """Return the statement without its comments, with single blanks."""
    return " ".join(" ".join(line for line in statement.splitlines() if not line.strip().startswith("--")).split())


@pytest.fixture(scope="module")
def linter() -> Linter:
    return Linter(dialect="snowflake")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_statement_parses(path: Path, linter: Linter) -> None:
    for statement in _statements(path):
        if statement in UNKNOWN:
            continue
        # A body in another language is judged by that language.
        found = linter.parse_string(re.sub(r"\$\$.*\$\$", "$$ $$", statement, flags=re.DOTALL) + ";\n").violations
        assert not found, f"{statement[:80]}: {[error.desc() for error in found]}"


def test_what_the_linter_does_not_know_is_still_unknown_to_it(linter: Linter) -> None:
    assert all(linter.parse_string(f"{statement};\n").violations for statement in UNKNOWN)
    assert not linter.parse_string("create or replace dbt project models from '@project_files';\n").violations
    assert linter.parse_string("create streamlit app from '@files' main_file = 'app.py';\n").violations
    assert linter.parse_string("alter streamlit app set query_warehouse = small_wh;\n").violations


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_statements_that_are_put_together_parse(path: Path, linter: Linter) -> None:
    """`set x = 'alter …' || $name`, which EXECUTE IMMEDIATE runs; of an app's FROM the linter knows the older form."""
    for statement in _statements(path):
        if found := re.fullmatch(r"set \w+ = '((?:alter (?!streamlit)|create ).*)", statement):
            text = re.sub(r"' \|\| \$\w+(?: \|\| ')?", "NAME", found[1]).removesuffix("'").replace("''", "'")
            assert not linter.parse_string(text.replace("from '@", "root_location = '@") + ";\n").violations, text


def test_a_malformed_statement_does_not_parse(linter: Linter) -> None:
    assert linter.parse_string("create task load_orders warehouse wh as call f(;\n").violations


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_bodies_are_python(path: Path) -> None:
    for body in re.findall(r"\nas\n\$\$(.*?)\$\$", path.read_text(encoding="utf-8"), re.DOTALL):
        compile(body, path.name, "exec")


def test_blocks_that_load_parse(linter: Linter) -> None:
    """The linter does not know DECLARE and IF, which the blocks that clean up have."""
    blocks = [block for task, block in scripting.TASKS.items() if task.startswith("load_")]
    blocks.append(scripting.PROCEDURES["load_arrived"][1])
    assert len(blocks) == 4
    for block in blocks:
        found = linter.parse_string(block).violations
        assert not found, f"{block[:300]}: {[error.desc() for error in found]}"


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


@pytest.mark.parametrize("trigger", ["scheduled", "triggered"])
def test_the_reviews_are_deployed_where_there_is_an_api(trigger: str, linter: Linter) -> None:
    settings = load_settings(pipeline_file=ROOT / "pipeline.toml", api_url="https://api.example.com/v1")
    with_api = deployment(settings, load_streams(settings), trigger)  # type: ignore[arg-type]
    added = [text for text in with_api if text not in deployment(settings, STREAMS, trigger)]  # type: ignore[arg-type]
    made = [f"{found[1]} {found[2] or found[3]}" for text in added if (found := _CREATED.match(text))]
    assert made == ["stage reviews_stage", "stream reviews_stage_files", "task load_reviews", "task cleanup_reviews"]
    call = "'reviews', 'documents', 'reviews_stage', 'raw_ext.reviews_raw', array_construct('id'), 'updated_at')"
    assert sum(call in text for text in added) == 2
    for text in added:
        assert not linter.parse_string(f"{text};\n").violations, text


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


def test_the_apps_files_are_ours_and_the_same_for_snowflakes_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    put = r"put 'file://(.*)' @app_files(\S*) auto_compress = false overwrite = true"
    uploads = [
        re.fullmatch(put, text) for text in _statements(ROOT / "snowflake" / "5_dashboard.sql") if "put " in text
    ]
    assert all(uploads)
    assert all(list(ROOT.glob(upload[1])) for upload in uploads if upload)
    app = yaml.safe_load((ROOT / "snowflake.yml").read_text(encoding="utf-8"))["entities"]["dashboard"]
    artifacts = [(each["src"], each["dest"]) for each in app["artifacts"]]
    copied = {"snowflake/dashboard/streamlit_app.py": "streamlit_app.py"}
    assert artifacts == [(copied.get(u[1], u[1]), _target(u[1], u[2][1:])) for u in uploads if u]
    assert (app["main_file"], app["query_warehouse"], app["title"]) == ("streamlit_app.py", "ADVENTURE_WH", "Adventure")
    assert app["identifier"] == {"name": "APP", "schema": "DASHBOARD", "database": "ADVENTURE"}


def _target(source: str, folder: str) -> str:
    """A file's place in the app, or a folder for those of a pattern."""
    place = f"{folder}/" if folder else ""
    return place if "*" in source else place + Path(source).name


def test_deploy_uploads_from_wherever_it_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(snowflake_dir=ROOT / "snowflake")
    monkeypatch.chdir(tmp_path)
    statements = deployment(settings, STREAMS, "scheduled")
    files = [Path(found[1]) for text in statements if (found := re.match(r"put 'file://(.*?)'", text))]
    assert all(path.is_absolute() and list(path.parent.glob(path.name)) for path in files)
    app = next(place for place, text in enumerate(statements) if text.startswith("set make_app"))
    assert all(text.startswith(("execute", "set", "grant")) for text in statements[app + 1 :])
    assert max(place for place, text in enumerate(statements) if text.startswith("put ")) < app


def test_the_app_imports_what_snowflake_has_and_what_is_uploaded() -> None:
    script = (ROOT / "snowflake/5_dashboard.sql").read_text(encoding="utf-8")
    uploaded = {
        ".".join(path.with_suffix("").relative_to(ROOT).parts).removesuffix(".__init__")
        for pattern in re.findall(r"put 'file://(adventure/[^']+)'", script)
        for path in ROOT.glob(pattern)
    }
    seen: set[str] = set()
    others: set[str] = set()
    waiting = ["adventure.dashboard.app", "adventure.destinations.snowflake.published"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = ROOT.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for module in _imported(ast.parse(path.read_text(encoding="utf-8"))):
            if module.startswith("adventure"):
                waiting.append(module)
            else:
                others.add(module.split(".")[0])
    assert seen <= uploaded, f"5_dashboard.sql does not upload {seen - uploaded}"
    assert others - sys.stdlib_module_names == {"pandas", "pyarrow", "streamlit"}


def _imported(tree: ast.Module) -> set[str]:
    """What a module imports when it is imported; what its functions import is for where they run."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            both = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name for name in both if name.startswith("adventure") and _is_module(name)}
    return names


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def test_the_apps_environment_has_the_streamlit_that_make_floor_tests() -> None:
    environment = yaml.safe_load((ROOT / "snowflake/dashboard/environment.yml").read_text(encoding="utf-8"))
    pins = dict(each.split("=") for each in environment["dependencies"])
    assert environment["channels"] == ["snowflake"]
    floor = re.search(r"^streamlit==(\S+)$", (ROOT / "requirements/floor.in").read_text(encoding="utf-8"), re.MULTILINE)
    assert floor
    assert pins == {"python": "3.11", "streamlit": floor[1]}
    needed = {re.split(r"[^\w-]", name)[0].lower() for name in importlib.metadata.requires("streamlit") or []}
    assert {"pandas", "pyarrow"} <= needed


def test_a_deployment_keeps_the_apps_url_and_fills_its_live_version() -> None:
    """CREATE OR REPLACE STREAMLIT gives the app another URL; a version that is live already must not end the script."""
    statements = _statements(ROOT / "snowflake" / "5_dashboard.sql")
    script = "\n".join(statements)
    assert "or replace streamlit" not in script
    steps = [
        next(place for place, text in enumerate(statements) if re.search(step, text))
        for step in (
            r"^put ",
            r"^set make_app = 'create streamlit if not exists app from ",
            r"^grant usage on streamlit app ",
            r"add live version from last'",
            r"^set fill_app = 'copy files into ''snow://streamlit/' .* '\.DASHBOARD\.APP/versions/live/''",
        )
    ]
    assert steps == sorted(steps)
    (block,) = [text for text in statements if UNKNOWN[0] in text]
    assert (
        "when other then\n        if (not contains(sqlerrm, 'already a live version')) then\n            raise;"
        in block
    )
    for name in ("make_app", "set_app", "fill_app"):
        assert statements.index(f"execute immediate ${name}") > 0


def test_snowflakes_command_line_finds_the_apps_entry_point() -> None:
    """It reads `main_file` as a path in the project's folder, and as one in the app; see test_snow_cli.py."""
    app = yaml.safe_load((ROOT / "snowflake.yml").read_text(encoding="utf-8"))["entities"]["dashboard"]
    entry = ROOT / app["main_file"]
    assert {"src": app["main_file"], "dest": app["main_file"]} in app["artifacts"]
    assert entry.read_bytes() == (ROOT / "snowflake" / "dashboard" / entry.name).read_bytes()


@pytest.mark.parametrize("trigger", TASKS)
def test_loads_report_their_failures_to_the_notification_integration(trigger: str, linter: Linter) -> None:
    returns = replace(STREAMS[0], name="returns", stage="returns_stage", raw_table="raw_ext.returns_raw")
    settings = load_settings(snowflake_error_integration="adventure_failures")
    statements = deployment(settings, (*STREAMS, returns), trigger)  # type: ignore[arg-type]
    reporting = [text for text in statements if "error_integration" in text]
    assert [text.split()[4] for text in reporting] == [f"load_{stream.name}" for stream in (*STREAMS, returns)]
    for text in reporting:
        assert '\n    error_integration = "ADVENTURE_FAILURES"\n    when ' in text
        assert not linter.parse_string(text + ";\n").violations
    without = deployment(load_settings(), STREAMS, trigger)  # type: ignore[arg-type]
    assert not any("error_integration" in text for text in without)


def test_the_optional_file_of_alerts_knows_every_load() -> None:
    script = "\n".join(_statements(ROOT / "snowflake" / "failure_alerts.sql"))
    for stream in STREAMS:
        begin = script.index(f"alter task load_{stream.name} suspend")
        assert script[begin:].split("\n")[1:3] == [
            f"alter task load_{stream.name} set error_integration = adventure_failures",
            f"alter task load_{stream.name} resume",
        ]
    assert "drop integration if exists adventure_failures" in teardown(load_settings())


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


OWN_ROLES = {"ACCOUNTADMIN", "SYSADMIN", "USERADMIN"}


def test_a_destroy_that_ended_halfway_can_be_repeated() -> None:
    """Also one that ended after its last statement: the roles that it uses are never those that it drops."""
    for statement in teardown(load_settings()):
        if used := re.match(r"use (\w+) (.*)", statement):
            assert used[1] == "role", f"{statement}: there may be none any more"
            assert used[2].upper() in OWN_ROLES, statement
        else:
            assert re.match(r"set \w+ = |drop [a-z ]+ if exists ", statement), statement
    repeated = teardown_as("class_role", names(load_settings()))
    assert all(re.match(r"set |use (role|database) |drop schema if exists ", statement) for statement in repeated)


def test_nothing_removes_a_whole_stage() -> None:
    """A bare `remove @stage` takes files along that arrived after the load: a pattern lists windows and names."""
    removals = [
        line for path in SCRIPTS for line in path.read_text(encoding="utf-8").splitlines() if '"remove ' in line
    ]
    assert len(removals) == 1
    assert "pattern = {literal(pattern)}" in removals[0]
    assert not any(re.search(r"^\s*(remove|rm) @", path.read_text(encoding="utf-8"), re.MULTILINE) for path in SCRIPTS)


def test_the_procedure_has_its_callers_rights() -> None:
    """Snowflake refuses REMOVE ("Unsupported statement type 'REMOVE_FILES'") to a procedure that has its owner's."""
    (text,) = [text for text in _statements(LOADING) if "procedure" in text]
    assert 'session.sql(f"remove ' in text
    assert "\nexecute as caller\n" in text


@pytest.mark.parametrize("name", ["1_setup.sql", "5_dashboard.sql"])
def test_what_is_granted_on_future_objects_is_in_a_managed_schema(name: str) -> None:
    """In another schema the owner may not: it needs the account's MANAGE GRANTS."""
    statements = _statements(ROOT / "snowflake" / name)
    managed = {
        found[1]
        for text in statements
        if (found := re.match(r"create schema if not exists (\w+) with managed access", text))
    }
    granted = set(re.findall(r"\bon future \w+ in schema (\w+)", "\n".join(statements)))
    assert granted
    assert granted <= managed


@pytest.mark.parametrize("trigger", TASKS)
def test_a_deployment_run_again_replaces_nothing_that_holds_anything(trigger: str) -> None:
    for statement in deployment(load_settings(), STREAMS, trigger):  # type: ignore[arg-type]
        assert not re.match(r"(drop|truncate|delete|undrop|insert|update|merge)\b", statement), statement
        assert not re.search(r"\b(rename|unset|swap with)\b", re.sub(r"\$\$.*\$\$", "", statement, flags=re.DOTALL)), (
            statement
        )
        if statement.startswith("create") and " if not exists " not in statement.splitlines()[0]:
            # What holds no rows may be replaced, and the app's files, which are uploaded again.
            assert re.match(r"create or replace (task|procedure|view|stage app_files)\b", statement), statement
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


ACCOUNT_WIDE = re.compile(
    r"\b(accountadmin|sysadmin|useradmin|ownership|account_usage|resource_monitor|grant|revoke|on account)\b"
    r"|\b(create|alter|drop)\s+(or replace\s+)?(role|user|warehouse|database|resource monitor|integration)\b"
)
"""What a role that owns a database and nothing else may not do."""


@pytest.mark.parametrize("trigger", ["scheduled", "triggered"])
def test_a_deployment_with_one_role_needs_nothing_beyond_the_database(trigger: str) -> None:
    whole = deployment(load_settings(), STREAMS, trigger)  # type: ignore[arg-type]
    statements = deployment_as("class_role", whole)
    asked = statements.index(READS_METERING)
    assert statements[asked + 1].startswith("create or replace view credits")
    needed = statements[:asked] + statements[asked + 2 :]
    refused = [text for text in needed if ACCOUNT_WIDE.search(re.sub(r"\$\$.*\$\$|'[^']*'", "", text, flags=re.S))]
    assert refused == []
    assert statements[0] == 'use role "CLASS_ROLE"'
    roles = [text for text in statements if re.match(r"set \w+_role = ", text)]
    assert len(roles) == 4
    assert all(text.endswith("= 'CLASS_ROLE'") for text in roles)
    made = [text for text in whole if re.match(r"create (or replace )?(stage|stream|table|procedure|task)\b", text)]
    assert [text for text in made if text not in statements] == []


def test_with_one_role_destroy_leaves_the_database_and_what_a_team_had() -> None:
    dropped = [text for text in teardown_as("class_role", names(load_settings())) if text.startswith("drop")]
    assert dropped == [f"drop schema if exists {schema}" for schema in OWN_SCHEMAS]
    assert not {"ecom", "new_mktg", "adventure_db"} & set(OWN_SCHEMAS)
