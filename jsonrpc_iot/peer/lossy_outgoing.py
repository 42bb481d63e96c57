"""What waits to be sent where messages get lost, and where the other end may not be who it seems.

What an address that may be forged gets before it has proved to be there, and how it is asked, is
the business of `protocol/unproved`. Here it is asked, by `rpc.ping`, and what waits is sent.
"""

import logging
from collections.abc import Callable, Sequence
from math import inf

import anyio
from anyio.abc import TaskGroup

from ..channel.contract import Channel
from ..channel.traffic import CountedChannel
from ..errors import Cancelled
from ..protocol.about import about
from ..protocol.duplicates import DuplicateTable
from ..protocol.presence import Presence
from ..protocol.session import Session
from ..protocol.unproved import Unproved
from .outgoing import Outgoing

logger = logging.getLogger("jsonrpc_iot.peer")

_ENOUGH_BYTES = 1 << 14


def outgoing_for(
    channel: Channel,
    session: Session,
    tasks: TaskGroup,
    limit: int,
    on_broken: Callable[[str], object],
) -> Outgoing:
    """The sending half of a peer, as its channel needs it; see `Outgoing`."""
    counted = channel if isinstance(channel, CountedChannel) else None
    channel = channel if counted is None else counted.inner  # whose sending need not be watched
    outgoing = (
        Outgoing(channel, tasks, limit, on_broken)
        if channel.info.reliable
        else LossyOutgoing(channel, tasks, limit, on_broken, session)
    )
    outgoing.traffic = None if counted is None else counted.traffic
    return outgoing


class LossyOutgoing(Outgoing):
    """The sending half of a peer, where messages get lost.

    Args:
        channel: takes the messages.
        tasks: as in `Outgoing`.
        limit: as in `Outgoing`.
        on_broken: as in `Outgoing`.
        session: hears whether the other end is there.

    Attributes:
        seen: is told what has left, which matters for what comes again.
    """

    __slots__ = ("_is_unmoved", "_session", "seen")

    _gathers = False  # each message is a packet of its own

    def __init__(
        self,
        channel: Channel,
        tasks: TaskGroup,
        limit: int,
        on_broken: Callable[[str], object],
        session: Session,
    ) -> None:
        super().__init__(channel, tasks, limit, on_broken)
        self._session = session
        self.seen: DuplicateTable | None = None
        self._is_unmoved = channel.unproved is not None

    def go_on(self) -> None:
        """Send what has waited, as far as that is paid for by what has come meanwhile."""
        unproved = self._channel.unproved
        if unproved is not None and unproved.has_waiting:
            leaving = [*unproved.release()]
            if unproved.has_waiting:
                leaving += self._ask(unproved, self.now())
            self._push_as_it_is(leaving)

    def forget(self, now: float) -> None:
        """Drop what has waited for too long.

        Args:
            now: seconds.
        """
        unproved = self._channel.unproved
        if unproved is not None and (lost := unproved.forget(now)):
            self._note_lost(unproved, lost)
            self._wake_up()

    def abort(self) -> None:
        """Send no more; see `Outgoing.abort`."""
        self.forget(inf)
        super().abort()

    async def wait_for_proof(self, patience: float) -> None:
        """Wait as long as much waits for proof that the other end is there.

        Args:
            patience: seconds.

        Raises:
            Cancelled: there has been none by then.
        """
        with anyio.move_on_after(patience):
            while self._waits_for_proof:
                await self._next_write()
        if self._waits_for_proof:
            raise Cancelled("The reader is gone")

    @property
    def _waits_for_proof(self) -> bool:
        unproved = self._channel.unproved
        if unproved is None or self.is_broken:
            return False
        return unproved.waiting_bytes > _ENOUGH_BYTES

    def push(self, *messages: bytes, are_responses: bool = False) -> None:
        """Send messages at once, or from a task of their own; see `Outgoing.push`."""
        unproved = self._channel.unproved
        if unproved is None or self.is_broken:
            self._push(messages)
        else:
            self._push(self._screen(unproved, messages, are_responses))

    def _screened(self, messages: Sequence[bytes], are_responses: bool) -> Sequence[bytes]:
        unproved = self._channel.unproved
        if unproved is None or self.is_broken:
            return messages
        return self._screen(unproved, messages, are_responses)

    def _note_left(self, messages: Sequence[bytes]) -> None:
        self._writes += 1
        if self.traffic is not None:
            self.traffic.note_out(messages)
        if self.seen is not None and self.seen.is_answering:
            self.seen.note_sent(messages, self.now())

    async def _hand_over(self, messages: Sequence[bytes]) -> None:
        for message in messages:  # which may take long for each
            await self._channel.send(message)
            self._note_written((message,))

    def _screen(
        self, unproved: Unproved, messages: Sequence[bytes], are_responses: bool
    ) -> Sequence[bytes]:
        """What may leave at once of what is for who has proved nothing; the rest waits."""
        if not are_responses and self._session.noise.presence is None:
            self._watch()  # one of these may be a call
        leaving: list[bytes] = []
        at = self.now()
        for message in messages:
            may_pass = are_responses or not unproved.has_waiting
            if may_pass and unproved.may_leave(len(message), at, is_response=are_responses):
                leaving.append(message)
            elif self._session.jsonrpc is None and not are_responses:
                self._note_lost(unproved, (message,))  # nothing it said made sense
            else:
                leaving += self._ask(unproved, at)
                if not unproved.keep(message, at):
                    self._note_lost(unproved, (message,))
        return leaving

    def _ask(self, unproved: Unproved, at: float) -> Sequence[bytes]:
        """The question whether the other end is there, if it is time for that."""
        session = self._session
        presence = session.noise.presence or self._watch()
        if not unproved.was_asked:
            presence.ask(session.codec, session.jsonrpc_to_send)
        question = presence.question
        return (question,) if unproved.ask(len(question), at) else ()

    def _watch(self) -> Presence:
        """Look at all responses from now on."""
        # Who has moved may know the ids of our calls from before, so these prove nothing.
        presence = Presence(self._note_proved, trusts_calls=self._is_unmoved)
        self._session.noise.presence = presence
        return presence

    def _note_proved(self) -> None:
        unproved = self._channel.unproved
        if unproved is not None:
            self._channel.note_proved()
            self._push_as_it_is(unproved.prove())

    def _push_as_it_is(self, messages: Sequence[bytes]) -> None:
        """Send what has been judged already."""
        self._push(messages)
        self._wake_up()

    def _note_lost(self, unproved: Unproved, messages: Sequence[bytes]) -> None:
        """Note that messages will never leave: as if they had, and were lost on their way."""
        self.dropped += len(messages)
        if unproved.note_dropped(len(messages)):
            text = "%s: dropped what waited for proof that somebody is there; no more is told of"
            logger.info(text, self._channel.info.peer, extra=about(self._channel.info.peer))
        if self.seen is not None:
            self.seen.note_sent(messages, self.now())


class ItemSink:
    """Takes the items of streams, and holds back who makes them.

    Args:
        outgoing: sends them.
        patience: seconds to wait for proof that the reader is there.
    """

    def __init__(self, outgoing: LossyOutgoing, patience: float) -> None:
        self._outgoing = outgoing
        self._patience = patience

    async def wait_for_room(self) -> None:
        """Wait until not too much waits.

        Raises:
            Cancelled: nobody seems to be there.
        """
        await self._outgoing.wait_for_room()
        await self._outgoing.wait_for_proof(self._patience)

    def push(self, *messages: bytes) -> None:
        """Send messages."""
        self._outgoing.push(*messages)

    def offer(self, message: bytes) -> bool:
        """Send a message unless too much waits already."""
        return self._outgoing.offer(message)
