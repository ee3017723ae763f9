"""Compiled templates, kept in the process: each build compiles the SQL of nodes and the arguments of tests again."""

from collections import OrderedDict
from typing import Any

_MOST = 2_000
"""Texts that are kept; the shipped project has some hundred. The SQL of a node changes only with its file."""

_compiled: OrderedDict[tuple[type, str], Any] = OrderedDict()


def replacements() -> list[tuple[Any, str, Any]]:
    """Return what compiles a template, with ours; see `dbt_patches`."""
    from dbt_common.clients.jinja import MacroFuzzEnvironment

    compile_text = MacroFuzzEnvironment.compile

    def compile(self: Any, source: Any, *args: Any, **kwargs: Any) -> Any:
        # All environments of a class have the same settings, and the code refers to none of their objects.
        if args or kwargs or not isinstance(source, str):
            return compile_text(self, source, *args, **kwargs)
        key = type(self), source
        found = _compiled.get(key)
        if found is None:
            found = _compiled[key] = compile_text(self, source)
            if len(_compiled) > _MOST:
                _compiled.popitem(last=False)
        return found

    return [(MacroFuzzEnvironment, "compile", compile)]
