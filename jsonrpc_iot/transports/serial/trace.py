"""Shows the Tuya frames of a line, and the bytes between them that belong to none.

No Wi-Fi key is shown that somebody else on the line gives a device by Improv.
"""

from collections.abc import Iterable

from ...channel.contract import Trace
from ...protocol.improv.serial import NoiseMask, Packet
from ...protocol.tuya.frame import Frame, FrameDecoder, encode_frame


class FrameTrace:
    """Finds out again which bytes were frames and which noise, of what a decoder has taken.

    Args:
        trace: is shown them.
        decoder: takes the line's bytes.
    """

    def __init__(self, trace: Trace, decoder: FrameDecoder) -> None:
        self._trace = trace
        self._decoder = decoder
        self._bytes = bytearray()  # not shown yet
        self._noise_before = decoder.noise_bytes
        self._mask = NoiseMask()
        self._hides_noise = False

    def hide_noise(self) -> None:
        """Show none from here on: it may be a spoilt Improv packet, and have a key in it."""
        self._hides_noise = True
        self._bytes.clear()

    def took_packet(self, packet: Packet) -> None:
        """Show a packet that has come, without a key."""
        self._trace("<=", packet.shown())

    def took(self, piece: bytes, frames: Iterable[Frame]) -> None:
        """Show what has come clear.

        Args:
            piece: what the decoder was fed, nothing if it was told of a silence.
            frames: what it made of it.
        """
        if self._hides_noise:
            for frame in frames:
                self._trace("<=", encode_frame(frame.command, frame.data, frame.version))
            return
        self._bytes += piece
        for frame in frames:
            encoded = encode_frame(frame.command, frame.data, frame.version)
            # The decoder passes over a good frame only inside another one, which came before.
            start = self._bytes.find(encoded)
            if start >= 0:
                self._show_noise(start)
                del self._bytes[: len(encoded)]
            else:  # it began before this trace did
                self._bytes.clear()
            self._trace("<=", encoded)
        self._show_noise(self._decoder.noise_bytes - self._noise_before)

    def left(self, frame: bytes) -> None:
        """Show a frame that leaves."""
        self._trace("=>", frame)

    def _show_noise(self, count: int) -> None:
        if count:
            self._trace("<?", self._mask.shown(bytes(self._bytes[:count])))
            del self._bytes[:count]
            self._noise_before += count
