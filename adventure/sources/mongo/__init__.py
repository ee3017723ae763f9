"""MongoDB as a source: extract, follow changes and reconcile."""
