"""Ports for servers that come back at the same place."""

import random
import socket
from contextlib import suppress

_ASKED_FOR = range(15_000, 32_000)
"""Below those that systems give to whoever connects, who may have one while its server is away."""

_dice = random.SystemRandom()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of this machine at which nobody is."""
    while True:
        port = _dice.choice(_ASKED_FOR)
        with socket.socket(socket.AF_INET, kind) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
