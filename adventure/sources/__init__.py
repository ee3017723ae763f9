"""Where rows come from: the interface of a source, and one package for each kind."""
