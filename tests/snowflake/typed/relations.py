"""Resolve and type queries against the tables that they read, one after the other, as an account would run them."""

import re
from collections.abc import Mapping

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from tests.snowflake.typed.kinds import METADATA, Kind, kind, kind_of
from tests.snowflake.typed.rules import problems

_FLATTENED = {"VALUE": "variant", "THIS": "variant", "INDEX": "number", "SEQ": "number"}
_CLAUSES = (exp.Where, exp.Group, exp.Having, exp.Qualify, exp.Order, exp.Join, exp.From, exp.With)


class Relations:
    """The tables and views that exist so far, with their columns and types."""

    def __init__(self, database: str = "ADVENTURE") -> None:
        self._database = database.upper()
        self._schema = MappingSchema(dialect="snowflake")

    def add(self, relation: str, columns: Mapping[str, exp.DataType | str | None]) -> None:
        """Add a table or a view. Names without quotes count as upper case."""
        types = {name: each or "unknown" for name, each in columns.items()}
        table = exp.to_table(relation, dialect="snowflake")
        table.set("catalog", exp.to_identifier(self._database))
        self._schema.add_table(table, types, dialect="snowflake", match_depth=False)
        # sqlglot forgets a replaced table under its name, and not under its aliases.
        self._schema._find_cache.clear()

    def run_script(self, name: str, text: str) -> list[str]:
        """Add the tables and views of a file of DDL, and return the faults of its queries."""
        faults: list[str] = []
        schema = "raw_ext"
        for statement in sqlglot.parse(text, read="snowflake"):
            if isinstance(statement, exp.Use) and str(statement.args.get("kind") or "").upper() == "SCHEMA":
                schema = statement.this.name
            elif isinstance(statement, exp.Create) and statement.kind in ("TABLE", "VIEW"):
                faults += self.create(name, statement, schema)
        return faults

    def create(self, name: str, statement: exp.Create, schema: str) -> list[str]:
        """Run CREATE TABLE or CREATE VIEW, and return the faults of its query."""
        table = statement.this.this if isinstance(statement.this, exp.Schema) else statement.this
        if not table.db:
            table.set("db", exp.to_identifier(schema))
        relation, faults = table.sql(dialect="snowflake"), list[str]()
        listed = statement.this.find_all(exp.ColumnDef) if isinstance(statement.this, exp.Schema) else ()
        declared = {_name(each): each.kind for each in listed if each.kind}
        if declared:
            self.add(relation, declared)
            if statement.expression and self.knows(statement.expression, schema):
                tree, faults = self.typed(name, statement.expression.unnest(), schema)
                contract = {column.strip('"'): kind.sql("snowflake") for column, kind in declared.items()}
                faults += faults_of_contract(name, _columns(tree), contract) if tree is not None else []
        elif clone := statement.args.get("clone"):
            self.add(relation, self._schema.find(self._qualified(clone.this, schema), ensure_data_types=True) or {})
        elif statement.expression and not self.knows(statement.expression, schema):
            given = [each for each in statement.expression.unnest().selects if isinstance(each.unalias(), exp.Cast)]
            self.add(relation, {each.alias_or_name: each.unalias().to for each in given})
        elif statement.expression:
            tree, faults = self.typed(name, statement.expression.unnest(), schema)
            if tree is not None:
                self.add(relation, _columns(tree))
        return faults

    def check(self, name: str, query: str, *, schema: str = "raw_ext") -> tuple[dict[str, exp.DataType], list[str]]:
        """Return the columns of a query with their types, and its faults."""
        try:
            parsed = sqlglot.parse_one(query, read="snowflake")
        except (SqlglotError, IndexError) as error:
            # sqlglot's builders of functions expect arguments of their own form.
            return {}, [f"{name}: sqlglot cannot read it: {_first_line(error)}"]
        tree, faults = self.typed(name, parsed, schema)
        return ({} if tree is None else _columns(tree)), faults

    def typed(self, name: str, parsed: exp.Expr, schema: str) -> tuple[exp.Query | None, list[str]]:
        """Return the qualified and annotated query, None if it does not resolve, and its faults."""
        try:
            tree = qualify(
                parsed.copy(),
                dialect="snowflake",
                catalog=self._database,
                db=schema,
                schema=self._schema,
                quote_identifiers=False,
                allow_partial_qualification=False,
            )
        except SqlglotError as error:
            return None, [f"{name}: {_first_line(error)}"]
        if not isinstance(tree, exp.Query):
            return None, [f"{name}: it is no query"]
        _give_types(tree)
        tree = annotate_types(tree, schema=self._schema, expression_metadata=METADATA, dialect="snowflake")
        found = [f"{_place(name, node)}: {problem}" for node, problem in problems(tree)]
        found += [
            f"{name}, column {each.alias_or_name.lower()}: its type is unknown: {each.unalias().sql('snowflake')[:80]}"
            for each in tree.selects
            if kind_of(each.unalias()).family == "unknown"
        ]
        return tree, list(dict.fromkeys(found))

    def knows(self, query: exp.Expr, schema: str = "raw_ext") -> bool:
        """Return whether all that a query reads has known columns: not a stage, the account's own tables, or VALUES."""
        made = {each.alias for each in query.find_all(exp.CTE)}
        tables = [each for each in query.find_all(exp.Table) if each.db or each.name not in made]
        if any(not each.find(exp.Explode) for each in query.find_all(exp.TableFromRows)):
            return False
        return not query.find(exp.Values) and all(
            isinstance(each.this, exp.Identifier)
            and self._schema.find(self._qualified(each, schema), raise_on_missing=False)
            for each in tables
        )

    def columns(self, table: exp.Expr, schema: str) -> Mapping[str, exp.DataType]:
        """Return the columns of a table with their types; none if it is not known."""
        assert isinstance(table, exp.Table)
        found = self._schema.find(self._qualified(table, schema), raise_on_missing=False, ensure_data_types=True)
        return found or {}

    def has(self, relation: str) -> bool:
        """Return whether a table or view is known."""
        table = self._qualified(exp.to_table(relation, dialect="snowflake"), "")
        return bool(self._schema.find(table, raise_on_missing=False))

    def _qualified(self, table: exp.Table, schema: str) -> exp.Table:
        named = exp.table_(table.name, db=table.db or schema, catalog=self._database)
        return normalize_identifiers(named, dialect="snowflake")

    def run(self, name: str, text: str, *, schema: str = "raw_ext") -> list[str]:
        """Run a statement as far as its queries go, and return their faults."""
        statement = sqlglot.parse_one(text, read="snowflake")
        if isinstance(statement, exp.Create) and statement.kind in ("TABLE", "VIEW"):
            return self.create(name, statement, schema)
        query = statement.expression if isinstance(statement, exp.Insert) else statement
        if isinstance(query, exp.Query) and self.knows(query, schema):
            return self.typed(name, query, schema)[1]
        return []


def faults_of_contract(name: str, found: Mapping[str, exp.DataType], contract: Mapping[str, str]) -> list[str]:
    """Return sentences about the columns of a query that differ from a contract's columns and types."""
    faults = []
    for column, wanted in contract.items():
        want = kind(exp.DataType.build(wanted, dialect="snowflake"))
        have = kind(found.get(column.upper()))
        if column.upper() not in found:
            faults.append(f"{name}, column {column}: the contract has it and the query has not")
        elif not _agree(have, want):
            faults.append(f"{name}, column {column}: it is {have}, and the contract says {wanted}")
    faults += [
        f"{name}, column {column.lower()}: the query has it and the contract has not"
        for column in found
        if column not in {each.upper() for each in contract}
    ]
    return faults


def _agree(have: Kind, want: Kind) -> bool:
    if have.family == "nested":
        return have.name == want.name
    return have.family == "null" or (have.family, have.scale) == (want.family, want.scale)


def _columns(tree: exp.Query) -> dict[str, exp.DataType]:
    return {_quoted(each.alias_or_name): each.type or exp.DataType.build("unknown") for each in tree.selects}


def _name(column: exp.ColumnDef) -> str:
    return f'"{column.name}"' if column.this.quoted else column.name


def _quoted(name: str) -> str:
    """Quote a qualified name that would not be itself without quotes."""
    return name if re.fullmatch(r"[A-Z_][A-Z0-9_$]*", name) else f'"{name}"'


def _place(name: str, node: exp.Expr) -> str:
    """Name the query, and the column or, in a condition, the columns that the fault belongs to."""
    part: exp.Expr | None = node
    while part is not None and not isinstance(part, _CLAUSES):
        if isinstance(part.parent, exp.Select) and part.arg_key == "expressions":
            return f"{name}, column {part.alias_or_name.lower()}"
        part = part.parent
    columns = dict.fromkeys(each.name.lower() for each in node.find_all(exp.Column))
    return f"{name}, column {' and '.join(columns)}" if columns else name


def _give_types(tree: exp.Expr) -> None:
    """Give the columns of FLATTEN and the variables of REDUCE the types that sqlglot does not infer."""
    flattened = {
        each.args["alias"].name
        for each in tree.find_all(exp.Lateral, exp.TableFromRows)
        if each.args.get("alias") and each.find(exp.Explode)
    }
    for column in list(tree.find_all(exp.Column)):
        if column.table in flattened:
            made = exp.cast(column.copy(), _FLATTENED.get(column.name, "varchar"), dialect="snowflake")
            is_selected = isinstance(column.parent, exp.Select) and column.arg_key == "expressions"
            column.replace(exp.alias_(made, column.name) if is_selected else made)
    for reduce in tree.find_all(exp.Reduce):
        function = reduce.args["merge"]
        types = dict(zip((each.name for each in function.expressions), ("number", "variant"), strict=True))
        for variable in list(function.this.find_all(exp.Identifier, exp.Column)):
            if variable.name in types and not isinstance(variable.parent, exp.Column):
                variable.replace(exp.cast(variable.copy(), types[variable.name], dialect="snowflake"))


def _first_line(error: Exception) -> str:
    return re.sub(r"\x1b\[\d*m", "", str(error)).strip().split("\n")[0].rstrip(".")
