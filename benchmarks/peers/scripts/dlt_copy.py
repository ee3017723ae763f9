"""Copy the new rows of both tables into Parquet files with dlt. Runs in dlt's own environment.

python dlt_copy.py pyarrow|connectorx URL FOLDER
"""

import sys
from typing import Any

import dlt
from dlt.sources.sql_database import sql_table
from sqlalchemy import Numeric

TABLES = ("orders", "order_details")


def with_precision(kind: Any) -> Any:
    """Set a precision for numeric columns without one: dlt would use nine decimals and fail on a tenth."""
    return Numeric(38, 18) if isinstance(kind, Numeric) and kind.precision is None else kind


def main(backend: str, url: str, folder: str) -> None:
    pipeline = dlt.pipeline(
        "peer",
        destination=dlt.destinations.filesystem(bucket_url=f"file://{folder}/out"),
        dataset_name="sales",
        pipelines_dir=f"{folder}/pipelines",
    )
    resources = [
        sql_table(
            credentials=url,
            table=table,
            backend=backend,
            chunk_size=50_000,
            type_adapter_callback=with_precision,
            incremental=dlt.sources.incremental("last_modified"),
        )
        for table in TABLES
    ]
    pipeline.run(resources, loader_file_format="parquet", write_disposition="append")


if __name__ == "__main__":
    main(*sys.argv[1:])
