"""Compare Adventure with other tools that copy tables, on the same tables in the same run. See `__main__.py`."""
