"""What tests need of the kernel."""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from jsonrpc_iot.transports.packets.datagrams import prepare, receive_dated

_HELD_SECONDS = 0.06  # longer than what counts as late


@contextmanager
def arrival_times() -> Iterator[None]:
    """Have the kernel note when datagrams arrive.

    Linux begins that some time after the first socket on the machine has asked for it, and until
    then gives the time of reading.
    """
    if sys.platform != "linux":
        yield
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.bind(("127.0.0.1", 0))
        prepare(raw)
        for _ in range(100):
            raw.sendto(b"when?", raw.getsockname())
            time.sleep(_HELD_SECONDS)
            data, _ = receive_dated(raw, longest=1.0)
            if getattr(data, "waited", 0):
                break
        else:
            raise RuntimeError("the kernel does not note when datagrams arrive")
        yield
