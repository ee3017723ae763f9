"""The Sales and Orders pages.

`metrics.py`, `over_time.py` and the modules `…_metrics.py` query, `charts.py` draws, `page.py` lays out the panels.
Each kind of panel has a module.
"""
