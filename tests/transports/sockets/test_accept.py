"""Connections that cannot be accepted for a while."""

import errno
import logging
import socket
from typing import Any

import anyio
import pytest

from jsonrpc_iot.transports.sockets.listener import accept
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


class Exhausted(socket.socket):
    """Listens, and has no descriptor left for the first connections."""

    failures = 3

    def accept(self) -> tuple[socket.socket, Any]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "too many open files")
        return super().accept()


async def test_what_fails_again_and_again_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with Exhausted() as listening, socket.socket() as client:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        client.connect(listening.getsockname())
        with anyio.fail_after(SECONDS), caplog.at_level(logging.WARNING):
            accepted = await accept(listening, "tcp://here", logging.getLogger("a.test"))
        with accepted:
            assert accepted.getpeername() == client.getsockname()
    (record,) = caplog.records
    assert record.name == "a.test"
    assert record.getMessage().startswith("tcp://here: cannot accept: ")
    assert listening.failures == 0
