"""Write live sales into PostgreSQL and support chats into MongoDB, as a shop's application would.

This package plays the systems outside of the pipeline, so it does not depend on the pipeline.
"""
