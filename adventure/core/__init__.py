"""What every part shares: errors, settings, streams, manifests, clock, log, stopping."""
