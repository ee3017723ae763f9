"""The shop's API: serves the reviews as JSON over HTTP, and fails on demand."""
