"""The Pipeline page. `state.py` queries, `flow.py` and `charts.py` draw, `page.py` lays out."""
