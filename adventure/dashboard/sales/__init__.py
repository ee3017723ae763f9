"""The Sales page. `metrics.py` asks, `charts.py` draws, `page.py` lays out."""
