"""Monitor the pipeline: status, problems, checks and metrics."""
