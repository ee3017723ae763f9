"""Embedded PostgreSQL and MongoDB-compatible servers, for the demo and the tests.

Real servers on loopback, each a process of its own, with a password where the server knows one. Nothing outside the
demo and the tests may need this room.
"""

from adventure.demo.sandbox.sandbox import Sandbox

__all__ = ["Sandbox"]
