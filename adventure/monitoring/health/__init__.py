"""The pipeline's health: one state, and one set of rules that finds its problems.

`adventure status`, the dashboard, the metrics and the alerts all use these rules. The dashboard also runs inside
Snowflake, so this package imports the standard library and little else of Adventure.
"""
