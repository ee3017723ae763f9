"""The Sales page. `metrics.py` queries, `charts.py` draws, `page.py` and `panels.py` lay out."""
