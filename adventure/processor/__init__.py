"""Extract windows from the sources, stage their files and advance the watermarks.

`run.py` is the loop, `cycle.py` one cycle, `state.py` the watermarks. The processor uses a stage and never a warehouse.
"""
