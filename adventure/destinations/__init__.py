"""Where rows go: the interfaces of a warehouse and its stage, and one package for each kind."""
