"""Sources: the interface of a source database, and one package for each kind."""
