"""Read PostgreSQL's write-ahead log for the keys of changed rows; the rows themselves are read from the tables."""
