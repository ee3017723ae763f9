"""Read the result of an ADBC statement in record batches.

This is the only module that uses a private name of a library. The driver keeps the SQLSTATE of an error that ends a
result early, and only `AdbcRecordBatchReader` reads it. The public access to that class is the module `dbapi`, which
imports pyarrow.dataset and, where it is installed, pandas; that costs a quarter of a second and 50 MB. pyarrow's own
reader (`RecordBatchReader.from_stream`) reports such an error as text only.
"""

from collections.abc import Iterator

import adbc_driver_manager
import pyarrow as pa
from adbc_driver_manager._reader import AdbcRecordBatchReader


def record_batches(statement: adbc_driver_manager.AdbcStatement) -> Iterator[pa.RecordBatch]:
    """Execute the statement and return its batches. The iterator raises the driver's errors with their SQLSTATE."""
    stream, _ = statement.execute_query()
    return iter(AdbcRecordBatchReader._import_from_c(stream.address))
