"""The app inside Snowflake: the same app as `adventure dashboard`, reading with the active session."""

import os


def _run() -> None:
    # Set these before importing the app, which reads them at import.
    os.environ["ADVENTURE_DASHBOARD_READS"] = "snowflake"
    os.environ["ADVENTURE_SNOWFLAKE_SESSION"] = "active"
    from adventure.dashboard.app import run

    run()


_run()
