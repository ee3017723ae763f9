"""What Snowflake refuses in a typed query, or does only by a conversion that fails for some rows.

A comparison of a number with a text converts the text, and the query fails at the first text that is no number.
"""

from collections.abc import Iterator

from sqlglot import exp

from tests.snowflake.typed.kinds import kind_of

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_TRYING = (
    *(exp.ToNumber, exp.ToDouble, exp.ToBoolean, exp.ToBinary, exp.ParseJSON),
    *(exp.TsOrDsToDate, exp.TsOrDsToTime, exp.StrToTime),
)
"""What sqlglot makes of TRY_TO_… and TRY_PARSE_JSON, then with the argument `safe`."""
_SEARCHES = (exp.Like, exp.ILike, exp.RegexpLike)
_SUMS = (exp.Sum, exp.Avg, exp.Median, exp.Stddev, exp.StddevPop, exp.Variance)
_CASTABLE = {"text", "number", "boolean", "time", "zoned"}
_OF_TIME = (exp.DateDiff, exp.DateAdd, exp.TimestampTrunc, exp.DateTrunc)


def problems(tree: exp.Expr) -> Iterator[tuple[exp.Expr, str]]:
    """Yield each faulty part of a query with what is wrong."""
    for node in tree.walk():
        if isinstance(node, exp.SetOperation):
            for one, other in zip(node.left.selects, node.right.selects, strict=True):
                yield from ((one, problem) for problem in _mixed(one, [one.unalias(), other.unalias()]))
        for problem in (*_casts(node), *_arguments(node), *_families(node), *_arithmetic(node)):
            yield node, problem


def _casts(node: exp.Expr) -> Iterator[str]:
    name = node.name.upper() if isinstance(node, exp.Anonymous) else ""
    if (
        isinstance(node, exp.TryCast)
        or name.startswith("TRY_")
        or (isinstance(node, _TRYING) and node.args.get("safe"))
    ):
        given = node.expressions[0] if name else node.this
        if kind_of(given).family != "text":
            yield f"{_shown(node)} takes text only, and {_shown(given)} is {kind_of(given)}"
    if isinstance(node, exp.TryCast) and kind_of(node).family not in _CASTABLE:
        yield f"TRY_CAST cannot make {kind_of(node)}"


def _arguments(node: exp.Expr) -> Iterator[str]:
    if isinstance(node, _SUMS) and kind_of(node.this).family not in ("number", "null"):
        yield f"{_shown(node)} adds up {kind_of(node.this)}"
    if isinstance(node, _OF_TIME):
        others = (node.this, node.expression) if isinstance(node, exp.DateDiff) else (node.this,)
        for given in others:
            if kind_of(given).family not in ("time", "zoned", "null"):
                yield f"{_shown(node)} takes a time, and {_shown(given)} is {kind_of(given)}"
    if isinstance(node, exp.Extract) and kind_of(node.expression).family not in ("time", "zoned", "null"):
        yield f"{_shown(node)} takes a time, and {_shown(node.expression)} is {kind_of(node.expression)}"
    nested = node.this if isinstance(node, exp.GetExtract | exp.ArraySize | exp.JSONExtract) else None
    if isinstance(node, exp.Explode):
        nested = node.this.expression if isinstance(node.this, exp.Kwarg) else node.this
    if nested is not None and kind_of(nested).family not in ("nested", "null"):
        yield f"{_shown(node)} takes a VARIANT, and {_shown(nested)} is {kind_of(nested)}"


def _families(node: exp.Expr) -> Iterator[str]:
    compared: list[exp.Expr] = []
    if isinstance(node, _COMPARISONS):
        # `x not in (select …)` is `x <> all (select …)` here.
        compared = [node.left, *_selected(node.right)]
    elif isinstance(node, exp.In):
        compared = [node.this, *node.expressions, *_selected(node.args.get("query"))]
    elif isinstance(node, exp.Between):
        compared = [node.this, node.args["low"], node.args["high"]]
    elif isinstance(node, exp.Case):
        compared = [*(each.args["true"] for each in node.args["ifs"]), *_present(node.args.get("default"))]
        if node.this:
            yield from _mixed(node, [node.this, *(each.this for each in node.args["ifs"])])
    elif isinstance(node, exp.Coalesce | exp.Greatest | exp.Least):
        compared = [node.this, *node.expressions]
    elif isinstance(node, exp.Nullif):
        compared = [node.this, node.expression]
    elif isinstance(node, _SEARCHES) and kind_of(node.this).family not in ("text", "null"):
        yield f"{_shown(node)} searches {kind_of(node.this)}"
    yield from _mixed(node, compared)


def _mixed(node: exp.Expr, compared: list[exp.Expr]) -> Iterator[str]:
    """A text literal beside a time is read as a time, once."""
    times = any(kind_of(each).family in ("time", "zoned") for each in compared)
    kinds = {
        kind_of(each).family: each
        for each in compared
        if kind_of(each).family != "null"
        and not (times and isinstance(each.unalias(), exp.Literal) and each.unalias().is_string)
    }
    if len(kinds) > 1:
        told = " and ".join(f"{_shown(each)}, which is {kind_of(each)}," for each in kinds.values())
        yield f"{_shown(node)} mixes {told.rstrip(',')}"


def _arithmetic(node: exp.Expr) -> Iterator[str]:
    if not isinstance(node, exp.Add | exp.Sub | exp.Mul | exp.Div | exp.Mod):
        return
    left, right = kind_of(node.left), kind_of(node.right)
    families = {left.family, right.family} - {"null"}
    of_dates = isinstance(node, exp.Add | exp.Sub) and "date" in (left.name, right.name)
    if isinstance(node.right, exp.Interval) or families <= {"number"}:
        return
    if not of_dates or families - {"time", "number"}:
        yield f"{_shown(node)} computes with {left} and {right}"


def _selected(node: exp.Expr | None) -> list[exp.Expr]:
    """Return the column of a subquery, or the expression itself."""
    query = node.this if isinstance(node, exp.All | exp.Any) else node
    if isinstance(query, exp.Query):
        return list(query.selects[:1])
    return _present(query)


def _present(node: exp.Expr | None) -> list[exp.Expr]:
    return [node] if node is not None else []


def _shown(node: exp.Expr) -> str:
    text = node.unalias().sql(dialect="snowflake")
    return text if len(text) <= 80 else f"{text[:77]}..."
