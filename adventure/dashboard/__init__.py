"""The dashboard: a Streamlit app of two pages over what was published. It must know neither stage nor warehouse.

`app.py` is what Streamlit runs, `sales/` and `pipeline/` are the pages, `source.py` is the seam to what they read, and
`serve.py` serves the app on this machine. Inside Snowflake the same files run without the last one, where only Python,
Streamlit and what that brings along is installed: the pages import nothing else.
"""
