"""Reconcile source and warehouse: compare them key by key and version by version, and repair differences.

Like the checks, this package uses both sides: sources and stage, and the warehouse through its interface. Neither the
processor nor the warehouse imports it.
"""
