"""What is wrong with the pipeline: status, problems, checks and metrics."""
