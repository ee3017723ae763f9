"""The tasks that load, clean up, build and publish, and the task server."""
