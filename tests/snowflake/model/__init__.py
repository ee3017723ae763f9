"""A small model of a Snowflake account: who owns what, who may do what, what a stream and a task do.

It holds no rows. It follows Snowflake's manual, and refuses a statement that it does not know.
"""
