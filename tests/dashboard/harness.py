"""What Streamlit's test harness does in different ways in 1.51 and in later versions. The tests run with both."""

from typing import Any

import streamlit
from packaging.version import Version

_NEWER = Version(streamlit.__version__) > Version("1.51")


def link_of(page: Any) -> dict[str, list[str]]:
    """Return the values of the page's URL. A later harness gives one value as text, not as a list."""
    values = ((name, page.query_params[name]) for name in page.query_params)
    return {name: [value] if isinstance(value, str) else list(value) for name, value in values}


def choose(control: Any, value: Any) -> Any:
    """Choose one value of a control that allows one. The harness of 1.51 takes a list."""
    return control.set_value(value if _NEWER else [value])
