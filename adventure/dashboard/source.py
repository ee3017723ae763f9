"""Environment variables that tell the dashboard's process where to read."""

READS = "ADVENTURE_DASHBOARD_READS"
"""The kind of warehouse, which has variables of its own; see its module `kind`."""
HEARTBEAT_PATH = "ADVENTURE_PROCESSOR_HEARTBEAT"
"""The processor's heartbeat file, for a dashboard that can read it."""
