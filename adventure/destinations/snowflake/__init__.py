"""Snowflake as the warehouse. The account's own tasks, which snowflake/*.sql set up, load and clean up.

This package deploys the scripts and runs the tasks; it does not move rows itself.
"""
