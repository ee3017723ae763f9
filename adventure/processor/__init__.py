"""Extracts windows from the sources, stages their files and moves the watermarks.

`run.py` is the loop, `cycle.py` one cycle; `source.py` is the seam behind which `postgres.py` and `mongo.py` stand.
This room knows the stage and must not know the warehouse.
"""
