"""Environment variables that tell the dashboard's process where it reads."""

HEARTBEAT_PATH = "ADVENTURE_PROCESSOR_HEARTBEAT"
"""The processor's heartbeat file, for a dashboard on a machine that sees it."""
