"""Reconciliation: is in the warehouse what is at the source, key by key and version by version?

It knows both sides, as the checks do: the processor's sources and the stage, and the warehouse through its seam. The
processor and the warehouse know nothing of it.
"""
