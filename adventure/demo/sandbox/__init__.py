"""Embedded PostgreSQL and MongoDB-compatible servers, for the demo and the tests only.

They are real servers on loopback, each in its own process. PostgreSQL requires a password; the MongoDB-compatible
server has none.
"""

from adventure.demo.sandbox.sandbox import Sandbox

__all__ = ["Sandbox"]
