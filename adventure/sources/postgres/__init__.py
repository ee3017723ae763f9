"""PostgreSQL as a source: extract, reject, warn and reconcile."""
