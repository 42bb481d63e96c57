"""What two peers must remember of their conversation, without I/O.

The session numbers our calls and keeps them until they are answered, knows in which dialect the
other end wants to be addressed, and whether it understands the protocol's extensions. Moving the
bytes, and giving up in time, is the business of `Peer`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET, Raw

from ..errors import JsonRpcIotError, MalformedResponse, RpcError, TransportError
from .codec.codec import DECODE_ERRORS, Codec
from .exchanged import Exchanged
from .items import ReceivedItem, ReceivedItems
from .messages import ABSENT, Dialect, Invalid, Message
from .noise import Noise
from .open_call import OpenCall, OpenCalls
from .retries import Repeats
from .speech import Speech
from .strict import FirstRequests

_EXTENSION_METHODS = ("rpc.cancel", "rpc.more")


class Session(Speech):
    """One end of a conversation.

    Args:
        codec: writes the requests, and reads what answers them.
        first_id: the id of the first call.
        dialect: the one to use until the other end has spoken.
        extensions: whether the other end understands `timeout`, `rpc.cancel` and the like; `None`
            to learn it from what it sends.
        on_notification: is shown each notification that arrives.
        retry_seconds: on a channel that loses messages, how long to wait for an answer before a
            request is sent again.
        retry_seconds_per_byte: what each byte of the request adds to that.
        shared: what answers others may arrive here too, so an error without an id fails no call.
        echoes: what is sent may come back.
        clock: gives the time in seconds; by default it stands still.

    Attributes:
        copies: how many requests were marked as such that are sent again.
        exchanged: how much was asked, and answered.
        first: open requests from before the other end has spoken.
        on_repeat: is told of each request that is going to be sent again with a mark, so that of
            the copy without one no more leaves.
        on_stray: is told in words of each response or item that belongs to no open call.
        strays: how many there were.
        noise: what arrives and is no message from the other end.
    """

    __slots__ = (
        "_ask_again_at",
        "_calls",
        "_next_id",
        "_overdue",
        "_probe",
        "_repeats",
        "_retry_per_byte",
        "_retry_seconds",
        "_shared",
        "copies",
        "exchanged",
        "first",
        "noise",
        "on_notification",
        "on_repeat",
        "on_stray",
        "strays",
    )

    def __init__(
        self,
        codec: Codec,
        *,
        first_id: int = 1,
        dialect: Dialect = "iot",
        extensions: bool | None = None,
        retry_seconds: float | None = None,
        retry_seconds_per_byte: float = 0.0,
        shared: bool = False,
        echoes: bool = False,
        clock: Callable[[], float] = lambda: 0.0,
        on_notification: Callable[[Message], object] | None = None,
    ) -> None:
        super().__init__(codec, dialect, extensions, is_lossy=retry_seconds is not None)
        self.copies = 0
        self.exchanged = Exchanged()
        self._next_id = first_id
        self.on_notification = on_notification
        self.on_repeat: Callable[[bytes], object] | None = None
        self.on_stray: Callable[[str], object] | None = None
        self._retry_seconds = retry_seconds
        self._shared = shared
        self._retry_per_byte = retry_seconds_per_byte
        self._repeats: Repeats | None = None
        self._ask_again_at = 0.0
        self._overdue: Sequence[bytes] = ()
        self._calls = OpenCalls(codec)
        self._probe: OpenCall | None = None
        self.first = FirstRequests(codec, in_order=retry_seconds is None)
        self.strays = 0
        self.noise = Noise(clock, codec if echoes else None)

    @property
    def open_calls(self) -> int:
        """How many calls of ours are not answered yet, the probe aside."""
        probes = self._probe is not None and self._probe.outcome is None
        return len(self._calls.by_id) - probes

    def open(
        self,
        method: str,
        params: Any,
        on_answer: Callable[[], object],
        *,
        timeout: float | None = None,
        idempotent: bool = False,
        now: float | None = None,
        items: ReceivedItems | None = None,
        traceparent: str | None = None,
    ) -> tuple[OpenCall, bytes]:
        """Open a call.

        Args:
            method: the name to call.
            params: an object or an array to be, `None` for no params.
            on_answer: is called once, when the outcome is there.
            timeout: seconds that the caller waits.
            idempotent: it may be sent again to anybody.
            now: seconds, for a call that may be sent again where messages get lost.
            items: takes the result item by item.
            traceparent: the trace that it belongs to.

        Returns:
            The open call, and the request to send.

        Raises:
            UsageError: the codec has no form for the params, or they are no object or array.
        """
        stream = items is not None
        request = self._request(method, params, self._next_id, timeout, stream, traceparent)
        call = OpenCall(self.codec, self._next_id, method, on_answer, items)
        self._add(call, request)
        if stream:
            self._calls.add_stream(call)
        if self._retry_seconds is not None and now is not None:
            if self._repeats is None:
                self._repeats = Repeats(
                    self._retry_seconds, self.mark_retry, per_byte=self._retry_per_byte
                )
            self._repeats.add(call.id, request, now, idempotent=idempotent)
        return call, request

    def probe(self) -> bytes | None:
        """The request that asks whether the other end knows extensions, `None` if that is known."""
        is_open = self.extensions is None and self._probe is None
        return self._ask(0.0) if is_open else None

    @property
    def next_due(self) -> float | None:
        """When `poll` has something to send, `None` while nothing is under way."""
        return None if self._repeats is None else self._repeats.next_due()

    def poll(self, now: float) -> list[bytes]:
        """What is to be sent again by now.

        Args:
            now: seconds.
        """
        if self._repeats is None:
            return []
        due = self._repeats.poll(now, self.extensions)
        if due.probe and now >= self._ask_again_at:
            due.messages.append(self._ask(now))
        return due.messages

    def overdue(self) -> Sequence[bytes]:
        """What became clear to be sent again with a message that was taken."""
        overdue, self._overdue = self._overdue, ()
        return overdue

    def mark_retry(self, request: bytes, *, late: bool = False) -> bytes:
        """A request of ours with the mark of a copy; see `Codec.mark_retry`."""
        self.copies += 1
        if self.on_repeat is not None:
            self.on_repeat(request)
        return self.codec.mark_retry(request, late=late)

    def close_stream(self, call: OpenCall) -> None:
        """Take no more items for a call."""
        self._calls.streams.pop(call.id, None)

    def give_up(self, call: OpenCall) -> bytes | None:
        """Close a call that nobody waits for any more.

        Returns:
            What cancels it at the other end, `None` if that has answered or would not understand.
        """
        call.release()
        if self._forget(call.id) is None or not self.extensions:
            return None
        return self.notification("rpc.cancel", {"id": call.id})

    def fail(self, message: bytes, reason: TransportError | RpcError) -> None:
        """Fail the open calls of a message: nothing will answer it."""
        for call in self._calls.of(message):
            self._forget(call.id)
            why = reason
            if isinstance(reason, TransportError):
                self.exchanged.failed += 1
                why = type(reason)(f"{call.method}: {reason}")
            else:
                self.exchanged.hear()
            if call.items is not None:
                call.lose(why)
            call.answer(why)

    def close(self, reason: Callable[[], JsonRpcIotError]) -> None:
        """Fail all open calls, each for a reason of its own."""
        for call in self._calls.streams.values():
            call.lose(reason())
        self._calls.streams.clear()
        for call in tuple(self._calls.by_id.values()):
            self._forget(call.id)
            call.answer(reason())

    def hear(self, message: Message | Invalid, data: bytes = b"") -> bool:
        """Note what a message tells about the other end, and take it if it is a response.

        Args:
            message: what was made of it.
            data: the message, where it may be an echo.

        Returns:
            Whether that was all there is to do with the message.
        """
        if isinstance(message, Invalid):
            return message.response and self._take_malformed(message)
        if message.method is not UNSET and self.noise.is_echo(message.id, data):
            return True
        self.jsonrpc = message.jsonrpc
        self.noise.suspects = None
        if message.method is UNSET:
            self._take_response(message)
            return True
        if message.is_extended or message.method in _EXTENSION_METHODS:
            self.extensions = True
        if message.id is UNSET:
            if message.method == "rpc.item":
                self._take_item(message.params)
                return True
            if self.on_notification is not None:
                self.on_notification(message)
        return False

    def _ask(self, now: float) -> bytes:
        """A probe; where messages get lost each is a new one, and an older one is given up."""
        if self._probe is not None:
            self._forget(self._probe.id)
        self._ask_again_at = now + (self._retry_seconds or 0.0)
        call = OpenCall(self.codec, self._next_id, "rpc.ping", self._note_probe)
        request = self._request(call.method, None, id=call.id)
        self._probe = call
        self._add(call, request)
        return request

    def _note_probe(self) -> None:
        assert self._probe is not None
        outcome = self._probe.outcome
        if self.extensions is None and not isinstance(outcome, TransportError):
            self.extensions = isinstance(outcome, Raw) and bytes(outcome) == self.codec.encode(True)
            if self._repeats is not None:
                self._overdue = (*self._overdue, *self._repeats.learn(self.extensions))

    def _add(self, call: OpenCall, request: bytes) -> None:
        self._next_id += 1
        self.exchanged.ask()
        call.request = request
        self._calls.add(call)
        self.noise.note_open(call.id, request)
        if self.jsonrpc is None and self._default is UNSET:
            self.first.add(call.id, request)

    def _forget(self, id: int) -> OpenCall | None:
        call = self._calls.by_id.pop(id, None)
        if call is not None:
            if self._repeats is not None:
                self._repeats.remove((id,))
            self.first.remove(id)
            self.noise.note_closed(id)
        return call

    def _take_response(self, message: Message) -> None:
        if self.first.are_refused(message, self._repeats, shared=self._shared):
            return
        self.exchanged.hear()
        id = message.id
        presence = self.noise.presence
        if presence is not None and presence.hear(id, self._calls.by_id):
            return
        is_nameless = id is None and message.error is not ABSENT
        if is_nameless and self._calls.only is not None and not self._shared:
            id = self._calls.only.id
        call = self._forget(id) if type(id) is int else None
        if call is not None:
            error = None if message.error is ABSENT else call.read_error(message.error)
            call.answer(error or message.result)
            return
        stream = self._calls.stream(id)
        if stream is not None and message.error is not ABSENT:
            stream.lose(stream.read_error(message.error))
        elif stream is None:
            self._stray(message)

    def hear_segment(self) -> None:
        """Note a segment on a channel without segments: the other end's URL has an option more."""
        problem = "the other end sends in segments: connect with ?segment=1"
        call = self._calls.only
        if call is not None:
            self._forget(call.id)
            call.answer(MalformedResponse(f"{call.method}: {problem}"))
        else:
            self._note_stray(problem)

    def _take_item(self, params: Raw) -> None:
        try:
            received = self.codec.decode_value(params, ReceivedItem)
        except DECODE_ERRORS:
            self._note_stray("an item that is none")
            return
        call = self._calls.stream(received.id)
        if call is None or call.items is None:
            self._note_stray("an item of no open stream")
            return
        call.items.put(received.seq, received.item)
        call.on_answer()

    def _take_malformed(self, message: Invalid) -> bool:
        call = self._forget(message.id) if type(message.id) is int else None
        if call is not None:
            call.answer(MalformedResponse(f"{call.method}: the response is no JSON-RPC response"))
        elif message.has_outcome:
            self._stray(message)
        return call is not None or message.has_outcome

    def _stray(self, message: Message | Invalid) -> None:
        if isinstance(message, Message) and message.id is None and message.error is not ABSENT:
            self._note_stray(f"an error without an id: {self.codec.decode_error(message.error)}")
        else:
            self._note_stray("a response to no open call")

    def _note_stray(self, what: str) -> None:
        self.strays += 1
        if self.on_stray is not None:
            self.on_stray(what)
