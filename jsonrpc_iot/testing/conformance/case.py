"""What is checked."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from msgspec import Struct

from .model import Profile
from .replies import Message
from .talk import Talk

Check: TypeAlias = Callable[[Sequence[object]], str]
"""Is given the values that came back; says what is wrong with them, or nothing."""

Conversation: TypeAlias = Callable[[Talk], Awaitable[str]]
"""Holds a dialogue with the device; says what is wrong, or nothing."""


class Case(Struct, frozen=True, kw_only=True):
    """Messages to send, and what has to come back.

    Args:
        name: is one of its kind in its section.
        rule: the sentence of the specification that it checks.
        sent: messages, sent one right behind the other.
        pieces: bytes that are written as they are to a stream, a pause between them, instead.
        expect: the messages back, in any order.
        also: other answers that are as good, where the protocol leaves it open.
        profile: the least one that asks for it.
        check: looks at what came back instead of `expect`, once as many messages as there are in
            `expect` have come, or no more come.
        talk: holds a dialogue instead of all that.
        may_end: the device may end the connection, if it answers on a new one.
        waits: a message that is sent once what came before is answered.
        lacks: looks at what came back before all else, and says why the case does not concern the
            device after all, if so.
        inapplicable: why it does not concern the device; then it is not sent.
        unverified: why it cannot be checked; then it is not sent.
    """

    name: str
    rule: str
    sent: tuple[bytes, ...] = ()
    pieces: tuple[bytes, ...] = ()
    expect: tuple[Message, ...] = ()
    also: tuple[tuple[Message, ...], ...] = ()
    profile: Profile = "standard"
    check: Check | None = None
    talk: Conversation | None = None
    may_end: bool = False
    waits: bytes | None = None
    lacks: Check | None = None
    inapplicable: str = ""
    unverified: str = ""

    @property
    def wanted(self) -> int:
        """How many messages have to come back at least."""
        return min(len(each) for each in (self.expect, *self.also))
