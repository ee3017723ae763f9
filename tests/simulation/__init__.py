"""Run the real cycle, load, cleanup and repair against a simulated world: servers, disk and clocks in memory.

docs/guarantees.md says which code is real and what is modelled.
"""
