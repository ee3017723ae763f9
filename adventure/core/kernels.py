"""Arrow's compute functions by name, without pyarrow.compute.

Importing pyarrow.compute writes a documented Python function for each of 300 kernels, which takes as long as importing
the rest of Arrow. It exports `call_function` from the same compiled module. Methods of arrays such as `cast` and
`filter` import it, too.
"""

from typing import Any

import pyarrow as pa

try:
    from pyarrow._compute import CastOptions, call_function
except ImportError:  # The compiled module has no promise to keep its name.
    from pyarrow.compute import CastOptions, call_function


def call(name: str, *arguments: Any) -> Any:
    """Return the kernel's result with its default options; see pyarrow.compute for the kernels.

    Args:
        arguments: arrays, or scalars with a type: for a plain number Arrow looks for packages with types of their own.

    Raises:
        pa.ArrowInvalid: a value does not fit.
    """
    return call_function(name, list(arguments))


def cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the values as another type; unchanged if they are of that type.

    Raises:
        pa.ArrowInvalid: a value does not fit.
    """
    return values if values.type == kind else call_function("cast", [values], CastOptions.safe(kind))
