"""An HTTP API as a source: JSON records, in pages."""
