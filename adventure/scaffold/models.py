"""The files of a dbt project with one staging model for each proposed stream."""

import json
from collections.abc import Mapping
from pathlib import Path

from adventure.core.kinds import SOURCES
from adventure.core.packaged import FOLDER
from adventure.core.streams import READ_AT
from adventure.scaffold.names import column_names, needs_quotes
from adventure.scaffold.pipeline_file import raw_table
from adventure.sources.proposal import Proposal, ProposedColumn

_PROJECT = """\
# Your models. `adventure init` wrote a staging model for each stream; write your own under models/. `adventure build`
# runs them. See docs/your-own-business.md.
name: own
version: "0.1.0"
config-version: 2
profile: adventure
require-dbt-version: [">=1.11.0", "<1.12.0"]

model-paths: [models]
macro-paths: [macros]
test-paths: [tests]
seed-paths: [seeds]

flags:
  send_anonymous_usage_stats: false
  use_colors: false

models:
  own:
    +materialized: table
    staging:
      +materialized: view

# A failed test stores its rows in the schema dbt_prod_dbt_test__audit, in a table named after the test.
data_tests:
  own:
    +store_failures: true
"""

_COPIED = ("profiles.yml", "macros/json.sql", "macros/time.sql", "tests/generic/unique_together.sql")
"""Files of the packaged dbt project that the models need."""

_MEMBERS = {
    "text": "{{{{ json_text('raw', {name}) }}}}",
    "integer": "{{{{ json_number('raw', {name}, 'bigint') }}}}",
    "double": "{{{{ json_number('raw', {name}, 'double') }}}}",
    "boolean": "cast({{{{ json_text('raw', {name}) }}}} as boolean)",
    "timestamp": "{{{{ json_timestamp('raw', {name}) }}}}",
    "json": "{{{{ json_value('raw', {name}) }}}}",
}


def project_files(names: Mapping[Proposal, str]) -> dict[Path, str]:
    """Return the text of each file by its path in the project's folder.

    Args:
        names: the streams' names.
    """
    files = {Path(name): (FOLDER / "dbt" / name).read_text(encoding="utf-8") for name in _COPIED}
    files[Path("macros/latest_version.sql")] = (Path(__file__).parent / "latest_version.sql").read_text(
        encoding="utf-8"
    )
    files[Path("dbt_project.yml")] = _PROJECT
    staging = Path("models/staging")
    files[staging / "_sources.yml"] = _sources(names)
    for proposal, name in names.items():
        files[staging / f"stg_{name}.sql"] = _model(proposal, name)
        files[staging / f"stg_{name}.yml"] = _descriptions(proposal, name)
    return files


def _model(proposal: Proposal, name: str) -> str:
    schema, table = raw_table(name).split(".")
    source = f"source('{schema}', '{table}')"
    if not proposal.key:
        rows = f"select * from {{{{ {source} }}}}"
        head = f"-- The rows of {proposal.location} as they were last read."
    else:
        head = f"-- One row for each row of {proposal.location}: its latest version, without deleted rows."
        key, cursor = _order(proposal)
        rows = f"{{{{ latest_version({source}, key={key}, cursor={cursor}) }}}}"
    columns = column_names([column.name for column in proposal.columns])
    selected = ",\n".join(f"    {_selected(proposal, column, columns[column.name])}" for column in proposal.columns)
    return f"{head}\nwith latest as (\n\n    {rows}\n\n)\n\nselect\n{selected},\n    _loaded_at\nfrom latest\n"


def _order(proposal: Proposal) -> tuple[str, str]:
    """Return key and cursor as arguments of the macro."""
    if SOURCES[proposal.source].documents:
        return f"json_key('raw', {_literal(proposal.key[0])})", f"json_cursor('raw', {_literal(proposal.cursor or '')})"
    if not any(map(needs_quotes, proposal.key)):
        return _literal(", ".join(proposal.key)), _name(proposal.version or READ_AT)
    return " ~ ', ' ~ ".join(map(_name, proposal.key)), _name(proposal.version or READ_AT)


def _name(column: str) -> str:
    """Return an expression of Jinja for the column's name in SQL."""
    return f"quoted({_literal(column)})" if needs_quotes(column) else _literal(column)


def _selected(proposal: Proposal, column: ProposedColumn, alias: str) -> str:
    if SOURCES[proposal.source].documents:
        if column.name in proposal.key:
            return f"{{{{ json_key('raw', {_literal(column.name)}) }}}} as {alias}"
        return f"{_MEMBERS[column.form].format(name=_literal(column.name))} as {alias}"
    return f"{{{{ quoted({_literal(column.name)}) }}}} as {alias}" if needs_quotes(column.name) else column.name


def _literal(text: str) -> str:
    """Return a string in Jinja."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _sources(names: Mapping[Proposal, str]) -> str:
    lines = [
        "sources:",
        "  - name: raw_ext",
        "    description: The raw tables, append-only. Each version of a row is a row of its own.",
        "    schema: raw_ext",
        "    tables:",
    ]
    for proposal, name in names.items():
        lines.append(f"      - name: {raw_table(name).partition('.')[2]}")
        lines.append(f"        description: {_text(f'Versions of the rows of {proposal.location}.')}")
    return "\n".join(lines) + "\n"


def _descriptions(proposal: Proposal, name: str) -> str:
    aliases = column_names([column.name for column in proposal.columns])
    key = [aliases[column] for column in proposal.key]
    about = proposal.comment or f"The rows of {proposal.location}."
    identified = f" Key: {', '.join(key)}." if key else " No key identifies a row."
    lines = ["models:", f"  - name: stg_{name}", f"    description: {_text(about + identified)}"]
    if len(key) > 1:
        lines += ["    data_tests:", f"      - unique_together: {{arguments: {{columns: [{', '.join(key)}]}}}}"]
    lines.append("    columns:")
    for column in proposal.columns:
        lines.append(f"      - name: {aliases[column.name]}")
        lines.append(f"        description: {_text(column.comment or f'{column.name} at the source ({column.type}).')}")
        if aliases[column.name] in key:
            lines.append(f"        data_tests: [{'not_null, unique' if len(key) == 1 else 'not_null'}]")
    lines += ["      - name: _loaded_at", '        description: "When this version of the row was loaded (UTC)."']
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """Return a string in YAML, in which dbt finds no Jinja."""
    plain = " ".join(text.split()).replace("{{", "{ {").replace("{%", "{ %").replace("{#", "{ #")
    return json.dumps(plain, ensure_ascii=False)
