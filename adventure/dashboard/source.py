"""Environment variables that tell the dashboard's process where to read."""

READS = "ADVENTURE_DASHBOARD_READS"
"""`files`; `session`, inside Snowflake; or `connection`, from a laptop."""
SALES_PATH = "ADVENTURE_PUBLISHED_PATH"
REPORT_PATH = "ADVENTURE_REPORT_PATH"
HEARTBEAT_PATH = "ADVENTURE_PROCESSOR_HEARTBEAT"
"""The processor's heartbeat file, for a dashboard that can read it."""
