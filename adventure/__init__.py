"""Adventure: sales from two live databases, staged, loaded, modelled and shown.

`docs/architecture.md` shows the parts and what passes between them; `adventure --help` lists the commands.
"""
