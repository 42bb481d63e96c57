"""What a conformance case is, and how it is judged.

A case is bytes in and the replies that the protocol demands for them. What to send is in the
`cases` modules; how to send it in `wire.py` and the tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from jsonrpc_iot.testing.conformance.replies import Message, message_faults, strict_json

SECRET: Final = "s3cret-detail"
"""The text in every unforeseen exception of the example device; it never crosses the wire."""


@dataclass(frozen=True)
class Case:
    """Bytes sent, and the messages that come back in any order.

    Args:
        name: the test's id.
        sent: one message; on a stream a newline follows it.
        expect: the messages back; empty when nothing is answered.
        also: other answers that are as good, where the protocol leaves it open.
        ran: the values that handlers recorded.
        over: `packet` for bytes that a stream cuts differently, `stream` for the reverse.
        needs_loop: a handler that `dispatch_sync` cannot run.
    """

    name: str
    sent: bytes
    expect: tuple[Message, ...] = ()
    also: tuple[tuple[Message, ...], ...] = ()
    ran: tuple[object, ...] = ()
    over: Literal["any", "packet", "stream"] = "any"
    needs_loop: bool = False

    def check(self, received: Sequence[bytes], ran: Sequence[object]) -> None:
        """Fail with the bytes and the nearest difference unless they are as demanded."""
        values = [strict_json(reply) for reply in received]
        found = [message_faults(expect, values) for expect in (self.expect, *self.also)]
        if all(found):
            shown = "\n  ".join(f"{reply[:300]!r}" for reply in received) or "nothing"
            raise AssertionError(
                f"sent {self.sent[:300]!r}\ngot  {shown}\nfault: " + "; ".join(found[0])
            )
        assert not any(SECRET.encode() in reply for reply in received), received
        assert list(ran) == list(self.ran), f"{self.sent[:300]!r} ran {list(ran)}"
