"""Improv over Bluetooth LE: the names of its characteristics, and commands in several writes.

Source: "Improv via BLE", https://www.improv-wifi.com/ble.
"""

from ...errors import MalformedFrame
from .messages import Call, Capabilities, State

SERVICE = "00467768-6228-2272-4663-277478268000"
"""The service, which is advertised. Source: "Bluetooth LE Advertisement"."""

STATE = "00467768-6228-2272-4663-277478268001"
ERROR = "00467768-6228-2272-4663-277478268002"
CALL = "00467768-6228-2272-4663-277478268003"
RESULT = "00467768-6228-2272-4663-277478268004"
CAPABILITIES = "00467768-6228-2272-4663-277478268005"

SERVICE_DATA = "00004677-0000-1000-8000-00805f9b34fb"
"""Of the data in the advertisement. Source: "Service Data format"."""


def service_data(state: State, capabilities: Capabilities) -> bytes:
    """The data in the advertisement: state, capabilities, four bytes that are reserved."""
    return bytes((state, capabilities, 0, 0, 0, 0))


def encode_call(call: Call) -> bytes:
    """A command or result with its checksum: the sum of all bytes before it, modulo 256.

    Raises:
        ValueError: the data is too long.
    """
    encoded = call.encode()
    return encoded + bytes((sum(encoded) & 0xFF,))


def decode_call(data: bytes) -> Call:
    """Read what `encode_call` made.

    Raises:
        MalformedFrame: it is cut short or too long, or the checksum is wrong.
    """
    call = Call.decode(data)
    if len(data) != len(call.data) + 3:
        raise MalformedFrame(f"an Improv command of {len(data)} bytes that says otherwise")
    if sum(data[:-1]) & 0xFF != data[-1]:
        raise MalformedFrame("an Improv command whose checksum is wrong")
    return call


class CallAssembler:
    """Puts commands together that come in several writes, since a write may hold only 20 bytes.

    Whatever is written, at most one unfinished command is kept, of up to 257 bytes. A command may
    never end: its writer is gone, so make a new assembler for the next one, and `reset` after a
    while of silence.
    """

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, data: bytes) -> Call | None:
        """Take a write.

        Returns:
            The command that is whole by it, or `None`.

        Raises:
            MalformedFrame: what was written is no command; the next write begins a new one.
        """
        data = self._begun + data
        if len(data) < 2 or len(data) < data[1] + 3:
            self._begun = data
            return None
        self._begun = b""
        return decode_call(data)

    def reset(self) -> bool:
        """Forget what is unfinished; says whether there was something."""
        had, self._begun = bool(self._begun), b""
        return had
