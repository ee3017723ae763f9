"""Adventure: sales from two live databases, staged, loaded, modelled and shown.

`docs/architecture.md` draws the rooms and what passes between them; `adventure --help` lists the jobs.
"""
