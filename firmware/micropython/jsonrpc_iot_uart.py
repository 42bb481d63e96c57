"""Serial lines for `jsonrpc_iot`: messages in Tuya frames of command 0xFE."""

import asyncio

from jsonrpc_iot_stream import Stream


class Frames:
    """Messages in Tuya frames of command 0xFE, on a line with noise and other frames."""

    silence = 400  # ms within a frame

    def __init__(self, limit, baudrate):
        self.limit, self.rest = limit, bytearray()
        self.most = 1000 + (limit + 7) * 10_000 // baudrate  # ms for a frame

    def feed(self, data):
        """Take bytes; gives the messages that they end."""
        rest = self.rest
        rest.extend(data)
        while rest:
            size, taken = (rest[4] << 8 | rest[5]) + 7 if len(rest) > 5 else 7, 1
            if rest[0] == 0x55 and (len(rest) < 2 or rest[1] == 0xAA) and size <= self.limit + 7:
                if len(rest) < size:
                    return
                taken = size if sum(rest[: size - 1]) & 255 == rest[size - 1] else 1
            frame = bytes(rest[:taken])
            rest[:taken] = b""
            if taken > 1 and frame[3] == 0xFE:
                yield frame[6:-1]

    def wrap(self, message):
        """The bytes for a message."""
        frame = b"\x55\xaa\x00\xfe" + bytes((len(message) >> 8, len(message) & 255)) + message
        return frame + bytes((sum(frame) & 255,))

    def expire(self):
        """Give up a frame whose end does not come; gives the messages that are inside it."""
        self.rest[:1] = b""
        return self.feed(b"")


class Uart(Stream):
    """A serial line with Tuya frames of command 0xFE; `run` it, and `call` what is there.

    Args:
        rpc: the methods of this end.
        uart: a `machine.UART`, whose `timeout` is 0, or streams `(reader, writer)`.
        baudrate: bits per second.
        limit: bytes of the longest message; 249 where the other end holds frames of 256.
    """

    shared = True

    def __init__(self, rpc, uart, baudrate=115200, limit=1024):
        reader, writer = uart if isinstance(uart, tuple) else (asyncio.StreamReader(uart),) * 2
        super().__init__(rpc, reader, writer, Frames(limit, baudrate))
        self.first, self.per_byte = 0.25 + 20 * limit / baudrate, 20 / baudrate
