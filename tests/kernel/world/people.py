"""Somebody with a password, for the tests of the built-in provider."""

from application.kernel.ports.attempts import Peer

EMAIL = "ada@example.com"
PASSWORD = "violet kettle hums at dawn"
CLIENT = Peer(address="192.0.2.7", agent="Loom/1.0")
