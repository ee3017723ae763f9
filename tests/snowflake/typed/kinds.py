"""The families of Snowflake's types, and the types that sqlglot does not infer, or infers otherwise than Snowflake."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlglot import exp
from sqlglot.dialects.snowflake import Snowflake

_DECIMAL = exp.DType.DECIMAL
_NESTED = (exp.DType.VARIANT, exp.DType.OBJECT, exp.DType.ARRAY, exp.DType.STRUCT, exp.DType.MAP, exp.DType.LIST)
_ZONED = (exp.DType.TIMESTAMPTZ, exp.DType.TIMESTAMPLTZ)


@dataclass(frozen=True)
class Kind:
    """A type as the rules see it."""

    family: str
    """text, number, boolean, time, zoned (a timestamp with a zone), nested, binary, null or unknown."""
    name: str
    """The type's name without parameters, in lower case."""
    scale: int | None = None
    """Digits after the point of an exact number; None for a float and all other types."""

    def __str__(self) -> str:
        if self.family == "number":
            return f"a number with scale {self.scale}" if self.scale is not None else "a float"
        return {"zoned": "a timestamp with a zone", "nested": f"a {self.name}", "unknown": "of unknown type"}.get(
            self.family, f"a {self.family}"
        )


def kind_of(node: exp.Expr | None) -> Kind:
    """Return the kind of an annotated expression. A value that is bound later is of any type, like NULL."""
    if node is not None and isinstance(node.unalias(), exp.Null | exp.Placeholder):
        return Kind("null", "null")
    return kind(node.type if node is not None else None)


def kind(found: exp.DataType | None) -> Kind:
    """Return the kind of a type."""
    if found is None or found.is_type(exp.DType.UNKNOWN):
        return Kind("unknown", "unknown")
    name = str(found.this.value if isinstance(found.this, exp.DType) else found.this).lower()
    if found.is_type(exp.DType.NULL):
        return Kind("null", name)
    if found.is_type(_DECIMAL):
        parameters = found.expressions
        return Kind("number", name, int(parameters[1].name) if len(parameters) > 1 else 0)
    if found.is_type(*exp.DataType.INTEGER_TYPES):
        return Kind("number", name, 0)
    if found.is_type(*exp.DataType.REAL_TYPES):
        return Kind("number", name)
    if found.is_type(*_ZONED):
        return Kind("zoned", name)
    families = {
        "text": exp.DataType.TEXT_TYPES,
        "boolean": {exp.DType.BOOLEAN},
        "time": exp.DataType.TEMPORAL_TYPES,
        "nested": set(_NESTED),
        "binary": {exp.DType.BINARY, exp.DType.VARBINARY},
    }
    return Kind(next((family for family, types in families.items() if found.is_type(*types)), "unknown"), name)


def _decimal(scale: int) -> exp.DataType:
    return exp.DataType.build(f"decimal(38, {min(scale, 37)})", dialect="snowflake")


def _exact(annotate: Callable[[Any, Any], Any], scale: Callable[[list[int]], int], *arguments: str) -> Any:
    """Keep sqlglot's type unless all of these arguments are exact numbers; then set Snowflake's scale."""

    def annotated(self: Any, node: exp.Expr) -> exp.Expr:
        annotate(self, node)
        kinds = [kind_of(each) for each in _values(node, arguments) if kind_of(each).family != "null"]
        if kinds and all(each.scale is not None for each in kinds):
            node.type = _decimal(scale([each.scale or 0 for each in kinds]))
        return node

    return {"annotator": annotated}


def _values(node: exp.Expr, arguments: Iterable[str]) -> Iterable[exp.Expr]:
    for name in arguments:
        found = node.args.get(name)
        for each in found if isinstance(found, list) else [found]:
            if isinstance(each, exp.If) and name == "ifs":
                yield each.args["true"]
            elif isinstance(each, exp.Expr):
                yield each


def _returns(build: Callable[[Any], str]) -> Any:
    def annotated(_: Any, node: exp.Expr) -> exp.Expr:
        node.type = exp.DataType.build(build(node), dialect="snowflake")
        return node

    return {"annotator": annotated}


def _literal(node: exp.Literal) -> str:
    return "varchar" if node.is_string else f"decimal(38, {len(node.name.partition('.')[2])})"


def _round(node: exp.Round) -> str:
    digits = node.args.get("decimals")
    found = kind_of(node.this)
    if found.scale is None:
        return "double"
    wanted = int(digits.sql()) if digits is not None else 0
    return f"decimal(38, {max(0, min(found.scale, wanted))})"


def _anonymous(node: exp.Anonymous) -> str:
    return {"AS_ARRAY": "array", "TRY_TO_TIMESTAMP": "timestamp_ntz"}.get(node.name.upper(), "unknown")


_given = Snowflake.EXPRESSION_METADATA
METADATA: dict[Any, Any] = {
    **_given,
    # Snowflake's manual, "Arithmetic operators": the scales of products and quotients.
    exp.Mul: _exact(_given[exp.Mul]["annotator"], lambda s: min(sum(s), max(*s, 12)), "this", "expression"),
    exp.Div: _exact(_given[exp.Div]["annotator"], lambda s: max(s[0], min(s[0] + 6, 12)), "this", "expression"),
    **{
        operator: _exact(_given[operator]["annotator"], max, "this", "expression")
        for operator in (exp.Add, exp.Sub, exp.Mod, exp.Nullif)
    },
    **{
        choice: _exact(_given[choice]["annotator"], max, "this", "expressions")
        for choice in (exp.Coalesce, exp.Greatest, exp.Least)
    },
    exp.If: _exact(_given[exp.If]["annotator"], max, "true", "false"),
    exp.Case: _exact(_given[exp.Case]["annotator"], max, "ifs", "default"),
    exp.Sum: _exact(_given[exp.Sum]["annotator"], max, "this"),
    exp.Avg: _exact(
        lambda self, node: self._set_type(node, exp.DType.DOUBLE), lambda s: max(s[0], min(s[0] + 6, 12)), "this"
    ),
    exp.Round: _returns(_round),
    exp.Literal: _returns(_literal),
    exp.GetExtract: _returns(lambda _: "variant"),
    exp.JSONExtract: _returns(lambda _: "variant"),
    exp.ParseJSON: _returns(lambda _: "variant"),
    exp.JSONFormat: _returns(lambda _: "varchar"),
    exp.ToChar: _returns(lambda _: "varchar"),
    exp.JSONObject: _returns(lambda _: "object"),
    exp.StarMap: _returns(lambda _: "object"),
    exp.GroupConcat: _returns(lambda _: "varchar"),
    exp.Reduce: _returns(lambda _: "decimal(38, 0)"),
    exp.CurrentTimestamp: _returns(lambda node: "timestamp_ntz" if node.args.get("sysdate") else "timestamp_ltz"),
    exp.Anonymous: _returns(_anonymous),
}
"""How sqlglot finds the types of a query."""
