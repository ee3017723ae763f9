"""Writes live sales into PostgreSQL and support chats into MongoDB, as an application that sells would.

It stands for the world outside of the pipeline, and must not know the pipeline.
"""
