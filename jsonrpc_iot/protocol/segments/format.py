"""Big messages over small packets: cut at one end, put together at the other.

Source: the design page, "Size is a contract". A segment is `~` MM III CCC and a chunk: message
number (2 hex digits), index and count (3 each). A report is `~` MM `!` III: all below III have
arrived; after it may come `,` and indexes and ranges that are missing (`,00a,00c-01f`). All else
is a plain message, which fits one packet and never begins with `~`.

Everything here is told the time, has no clock and does no I/O. Any bytes give messages or counted
drops, nothing else.
"""

from collections.abc import Iterable

from ..limits import DEFAULT_LIMITS, Limits
from .own import OwnSegments
from .receiver import HEADER_BYTES, Assembler, AssemblyBudget
from .sender import SegmentSender, largest_message

__all__ = ["HEADER_BYTES", "SEGMENT_MARK", "AssemblyBudget", "Segmentation", "largest_message"]

SEGMENT_MARK = b"~"

_TILDE = SEGMENT_MARK[0]
_BANG = 0x21


class Segmentation:
    """Both directions of one channel.

    Args:
        packet: bytes of the largest packet, more than 9.
        retry_seconds: how long to wait for a report before segments are sent again.
        limits: bounds on what the other end may cost.
        budget: what is left for all peers.
        network: where the other end is, with whose others it shares a part of that.
        first_number: of the first message.
        is_known: the other end is who it says it is; see `SegmentSender`.
        has_echoes: what leaves may come back; a segment that does counts for nothing.

    Attributes:
        sender: what leaves.
        assembler: what arrives.
        own: what has left, where it may come back.
    """

    __slots__ = ("assembler", "own", "sender")

    def __init__(
        self,
        packet: int,
        *,
        retry_seconds: float = 0.0,
        limits: Limits = DEFAULT_LIMITS,
        budget: AssemblyBudget | None = None,
        network: str = "",
        first_number: int = 0,
        is_known: bool = True,
        has_echoes: bool = False,
    ) -> None:
        self.own = OwnSegments() if has_echoes else None
        self.sender = SegmentSender(packet, retry_seconds, first_number, is_known=is_known)
        budget = budget or AssemblyBudget(limits.assembled_bytes_in_all)
        self.assembler = Assembler(packet, limits, budget, network)

    @property
    def dropped(self) -> int:
        """Packets that made no sense, or for which there was no room."""
        return self.sender.dropped + self.assembler.dropped

    def is_moving(self, now: float) -> bool:
        """Whether part of a message has come through lately, in either direction."""
        return self.sender.is_moving(now) or self.assembler.is_moving(now)

    def message_of(self, packet: bytes) -> bytes | None:
        """The message that a packet from `poll` is a segment of, if that is still leaving."""
        return None if packet[3] == _BANG else self.sender.message_of(int(packet[1:3], 16))

    def receive(self, packets: Iterable[bytes], now: float) -> list[bytes]:
        """Take packets; return the plain messages, and those that are whole by them.

        Args:
            packets: in the order of their arrival.
            now: seconds.
        """
        messages: list[bytes] = []
        take = self.assembler.take
        for packet in packets:
            if not packet or packet[0] != _TILDE:
                messages.append(packet)
            elif len(packet) > 3 and packet[3] == _BANG:
                # Tuya's cloud drops what is equal to the last value, so its channel adds spaces.
                self.sender.take_report(packet.rstrip(b" "), now)
            elif self._is_echo(packet, now):
                continue
            elif (message := take(packet, now)) is not None:
                messages.append(message)
        return messages

    def poll(self, now: float) -> list[bytes]:
        """The packets to send: reports first.

        Args:
            now: seconds.
        """
        return self.assembler.poll(now) + self.segments(now)

    def segments(self, now: float) -> list[bytes]:
        """The segments to send.

        Args:
            now: seconds.
        """
        segments = self.sender.poll(now)
        if self.own is not None:
            for segment in segments:
                self.own.add(segment, now)
        return segments

    def next_due(self) -> float:
        """When `poll` has something to send, if no packet comes before."""
        return min(self.assembler.next_due(), self.sender.next_due())

    def _is_echo(self, packet: bytes, now: float) -> bool:
        """Whether a segment is one of ours.

        The other end may send just the same in the middle of a message. The first segments of two
        messages differ, and it has arrived by then, or is asked for until it has.
        """
        own = self.own
        return own is not None and not self.assembler.is_taking(packet) and own.hear(packet, now)
