"""The Sales page. `figures.py` asks, `charts.py` draws, `page.py` lays out."""
