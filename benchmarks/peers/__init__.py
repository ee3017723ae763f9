"""Adventure beside other tools that copy tables: the same tables in the same run. See `__main__.py`."""
