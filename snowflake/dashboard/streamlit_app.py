"""What Streamlit runs inside Snowflake: the very app that `adventure dashboard` serves, over the active session."""

import os


def _run() -> None:
    # Before anything of the app is imported: it looks there where it is.
    os.environ["ADVENTURE_DASHBOARD_READS"] = "snowflake"
    os.environ["ADVENTURE_SNOWFLAKE_SESSION"] = "active"
    from adventure.dashboard.app import run

    run()


_run()
