"""The Pipeline page. `state.py` queries, `verdict.py` judges, `flow.py` and `charts.py` draw, `page.py` lays out."""
