"""A model of windows, watermark, stage, ledger and cleanup, of which all reachable states are searched."""
