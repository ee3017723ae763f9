"""A read-only server of the Model Context Protocol: what an agent may ask of the pipeline."""
