"""DuckDB as the warehouse, and a folder as its stage."""
