"""How much of the dbt project a build covers."""

from typing import Literal, get_args

Scope = Literal["increment", "whole", "full refresh"]
"""`increment`: the models and tests that new sales can change. `whole`: all of them. `full refresh`: all of them, from
the raw tables."""
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""From the smallest to the largest; each covers the one before it."""
