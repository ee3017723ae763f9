"""Contexts of templates, used twice or more: making one takes dbt several milliseconds.

dbt makes a context to compile a node, and another one to run it. It also makes one for each question of its own to the
warehouse, such as for the columns of a table. The macros and most values of the next context are those of the last one.
"""

import threading
from typing import Any


def replacements() -> list[tuple[Any, str, Any]]:
    """Return dbt's functions that make contexts, with ours; see `dbt_patches`."""
    from dbt.cli import requires
    from dbt.task import run
    from dbt.task import test as tests

    from dbt import compilation

    contexts = Contexts()
    of_node = "generate_runtime_model_context"
    return [
        (compilation, of_node, contexts.to_compile),
        (run, of_node, contexts.to_run),
        (tests, of_node, contexts.to_run),
        (requires, "generate_runtime_macro_context", contexts.of_macro),
    ]


class Contexts:
    """The contexts of a command of dbt, kept for each of its threads."""

    def __init__(self) -> None:
        self._kept = threading.local()

    def to_compile(self, model: Any, config: Any, manifest: Any) -> dict[str, Any]:
        """Return a context in which a node is compiled."""
        from dbt.context.providers import ModelContext, RuntimeProvider

        made: Any = ModelContext(model, config, manifest, RuntimeProvider(), None)
        found: dict[str, Any] = made.to_dict()
        self._kept.compiled = made, found
        return found

    def to_run(self, model: Any, config: Any, manifest: Any) -> dict[str, Any]:
        """Return a context in which a node runs: the one in which this thread compiled it, with the values of now."""
        made, found = self._kept.__dict__.pop("compiled", (None, {}))
        if made is None or not _is_for(made, model, config, manifest):
            return self.to_compile(model, config, manifest)
        made.sql_results = {}
        found.clear()
        # It fills the same dictionary, to which the macros refer.
        filled: dict[str, Any] = made.to_dict()
        return filled

    def of_macro(self, macro: Any, config: Any, manifest: Any, package_name: str | None) -> dict[str, Any]:
        """Return a context in which dbt itself runs a macro: that of the last time in this thread, without results."""
        from dbt.context.providers import MacroContext, OperationProvider

        key = id(macro), package_name
        made, found = self._kept.__dict__.setdefault("macros", {}).get(key, (None, {}))
        if made is None or not _is_for(made, macro, config, manifest):
            new: Any = MacroContext(macro, config, manifest, OperationProvider(), package_name)
            made, found = new, new.to_dict()
            self._kept.macros[key] = made, found
        made.sql_results.clear()
        context: dict[str, Any] = found
        return context


def _is_for(made: Any, model: Any, config: Any, manifest: Any) -> bool:
    """Return whether a context is of these objects, and no macro is running in it."""
    return made.model is model and made.config is config and made.manifest is manifest and not made.macro_stack.depth
