"""Environment variables that tell the dashboard's process where to read."""

HEARTBEAT_PATH = "ADVENTURE_PROCESSOR_HEARTBEAT"
"""The processor's heartbeat file, for a dashboard that can read it."""
OBSERVED_PATH = "ADVENTURE_OBSERVED"
"""The task server's file of what the sources show, for a dashboard that can read it."""
