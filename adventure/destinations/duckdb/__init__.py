"""DuckDB as the warehouse, with a folder as the stage."""
