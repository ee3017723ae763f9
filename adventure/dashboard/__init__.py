"""The dashboard: a Streamlit app with two pages over the published data. It imports neither stage nor warehouse.

Streamlit runs `app.py`. The pages are in `sales/` and `pipeline/`; `source.py` names the environment variables that say
where they read. `serve.py` serves the app on this machine. Inside Snowflake the other files run without it: only
Python, Streamlit and Streamlit's dependencies are installed there, so the pages import nothing else.
"""
