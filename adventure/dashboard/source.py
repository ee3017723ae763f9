"""Environment variables that tell the dashboard's process where to read."""

HEARTBEAT_PATH = "ADVENTURE_PROCESSOR_HEARTBEAT"
"""The processor's heartbeat file, for a dashboard that can read it."""
