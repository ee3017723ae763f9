"""Writes a project of one's own: pipeline.toml, .env and a dbt project, from what a live database says."""
