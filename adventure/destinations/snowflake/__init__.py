"""Snowflake as the warehouse: the scripts of snowflake/ deployed, and what the account then does by itself.

Loads and cleanups are Snowflake's own tasks; this room sets them up and takes them down, and must not move rows itself.
"""
