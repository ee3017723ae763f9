"""Check Snowflake's SQL without an account: its words against the manual, its types with sqlglot.

`words` reads the text token by token. `relations` resolves and types each query against the tables that it reads, and
`rules` says what Snowflake refuses, or does only by a silent conversion. Each fault is a sentence that names the query
and the column.
"""
