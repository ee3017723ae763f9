"""The Pipeline page. `state.py` asks, `verdict.py` judges, `flow.py` and `charts.py` draw, `page.py` lays out."""
