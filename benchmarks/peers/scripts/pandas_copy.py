"""Copy the rows of both tables since a time into CSV files with pandas. Runs in its own environment.

python pandas_copy.py URL SINCE FOLDER
"""

import sys
from pathlib import Path

import pandas as pd
from sqlalchemy import create_engine, text

TABLES = ("orders", "order_details")


def main(url: str, since: str, folder: str) -> None:
    engine = create_engine(url)
    for table in TABLES:
        query = text(f"select * from {table} where last_modified > :since")
        found = pd.read_sql(query, engine, params={"since": since})
        path = Path(folder) / f"{table}-{since.replace(' ', 'T')}.csv"
        found.to_csv(path, index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
