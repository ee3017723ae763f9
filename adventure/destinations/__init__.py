"""The interfaces of a warehouse and of its published datasets, and one package for each kind of warehouse."""
