"""Bytes in, bytes out: the messages of one codec, answered by handlers.

A responder knows nothing of connections; a `Peer` runs the calls that take time and remembers what
a connection must remember.
"""

from collections.abc import Sequence
from functools import partial

from msgspec import UNSET, UnsetType

from ..errors import InvalidRequest, RpcError
from ..protocol.codec.codec import Codec
from ..protocol.limits import Limits
from ..protocol.messages import ABSENT, Invalid, Message
from ..protocol.segments.format import SEGMENT_MARK
from ..protocol.session import Session
from .declare.context import Context
from .handler import Handler
from .judge import find
from .one_pass import OnePass, Plain
from .plain import PlainReplier, note
from .response import Replier, ReplyTo
from .run.batch import Batch, Pending, run_all
from .run.call import PendingCall, shorter
from .run.cancellation import failure_of, is_stray
from .run.context import CallContext
from .run.middleware import Call, Chain
from .table import HandlerTable
from .traces import Traces

Begun = bytes | Pending | None
"""A response, or what is to be run for it, or nothing to say."""

Read = Message | Invalid | list[tuple[bytes, Message | Invalid]]
"""The envelope of a message; of a batch, its entries and theirs."""

_JUNK = Invalid(InvalidRequest())
_FOR_RUNNING_CALLS = ("rpc.cancel", "rpc.more")


class Responder:
    """Answers messages.

    Args:
        table: has the handlers.
        codec: of the messages.
        limits: of which `batch` is used here.
        debug: tell callers the text and traceback of unforeseen exceptions.

    Attributes:
        codec: as above.
        traces: finds out which traces messages belong to.
    """

    def __init__(self, table: HandlerTable, codec: Codec, limits: Limits, *, debug: bool) -> None:
        self.codec = codec
        self._table = table
        self._limits = limits
        self.traces = Traces(codec)
        self._debug = debug
        self._encode = codec.encode
        self._replier = Replier(codec, debug=debug)
        self._nobody = Context()
        self._one_pass = OnePass(table, codec, off=debug)  # which does not check results
        self._is_sound, self._echoed = self._one_pass.is_sound, self._one_pass.echoed
        self._plain = PlainReplier(self._replier)
        self._new_call = PendingCall

    async def dispatch(self, data: bytes, context: Context | None = None) -> bytes | None:
        """Answer one message; see `Dispatcher.dispatch`."""
        limit = None if context is None else _limit(context)
        try:
            request = self._one_pass.decode(data)
        except Exception as error:  # noqa: BLE001  # a param's own code may run
            begun = self._begin_refused(data, error, context, limit)
        else:
            if type(request) is not list and request.id:
                if request.is_quick:
                    return self._plain.answer(request, limit, context)
                if request.is_awaited and request.timeout is UNSET:  # nobody else may cancel it
                    entry = request.entry
                    if entry.handler.wants_context:
                        context = CallContext.of(context or self._nobody, entry.name, request.id)
                    try:
                        value = await request.call(request.params, context)
                    except Exception as error:  # noqa: BLE001  # whatever a handler raises
                        return self._plain.fail(request, error, limit, context)
                    except BaseException as error:
                        if not is_stray(error):
                            raise
                        return self._plain.fail(request, failure_of(error), limit, context)
                    return self._plain.succeed(request, value, limit)
            begun = self._begin_decoded(data, request, context, limit)
        if type(begun) is bytes or begun is None:
            return begun
        if isinstance(begun, PendingCall):
            return await begun.run_alone()
        assert isinstance(begun, Batch)
        return await run_all(begun)

    def dispatch_sync(self, data: bytes, context: Context | None = None) -> bytes | None:
        """Answer one message where there is no event loop; see `Dispatcher.dispatch_sync`."""
        try:
            request = self._one_pass.decode(data)
        except Exception as error:  # noqa: BLE001  # a param's own code may run
            begun = self._begin_refused(data, error, context, _limit(context))
        else:
            if type(request) is not list and context is None:
                id = request.id
                if id and request.is_quick:  # `answer`, written out: a call less is a tenth
                    try:
                        return self._encode(request.respond())
                    except Exception as error:  # noqa: BLE001  # as there
                        return self._plain.fail(request, error)
                if request.is_plain and (not request.needs_check or self._is_sound(data)):
                    return self._plain.answer(request if id != 0 else self._echoed(data, request))
            begun = self._begin_decoded(data, request, context, _limit(context))
        if type(begun) is bytes or begun is None:
            return begun
        assert isinstance(begun, Pending)
        return [begun.finish(pending, pending.run_sync()) for pending in begun.calls][-1]

    def begin(
        self,
        data: bytes,
        context: Context | None = None,
        limit: int | None = None,
        session: Session | None = None,
        *,
        alone: bool = True,
    ) -> Begun:
        """Begin to answer one message.

        Args:
            data: the message.
            context: the connection's; nobody's by default.
            limit: bytes that the response may have, `None` for any number.
            session: takes responses, and notes how the other end speaks.
            alone: it is no entry of a batch, which is judged as a whole where it cannot be read.

        Returns:
            The response, or the call or batch of calls that will give it, or `None` where there is
            nothing to say.
        """
        if self._table.forwards:  # most of it is for others
            return self._begin_other(data, context, limit, session, alone)
        try:
            request = self._one_pass.decode(data)
        except Exception as error:  # noqa: BLE001  # a param's own code may run
            return self._begin_refused(data, error, context, limit, session, alone)
        if type(request) is list or not (request.is_quick and request.id):
            return self._begin_decoded(data, request, context, limit, session, alone)
        if session is not None and not note(session, request):
            return self._begin_other(data, context, limit, session, alone)
        return self._plain.answer(request, limit, context)

    def _begin_refused(
        self,
        data: bytes,
        problem: Exception,
        context: Context | None,
        limit: int | None,
        session: Session | None = None,
        alone: bool = True,
    ) -> Begun:
        """Begin to answer a message that the decoder of usual ones has refused."""
        request = self._one_pass.decode_unusual(data, problem)
        if request is not None:
            return self._begin_decoded(data, request, context, limit, session, alone)
        return self._begin_other(data, context, limit, session, alone)

    def _begin_decoded(
        self,
        data: bytes,
        request: Plain,
        context: Context | None,
        limit: int | None,
        session: Session | None = None,
        alone: bool = True,
    ) -> Begun:
        """Begin to answer a message that has been decoded in one pass."""
        if isinstance(request, list):
            fits = 0 < len(request) <= self._limits.batch
            is_whole = fits and self._one_pass.are_plain(data, request)
            if is_whole and (session is None or all(note(session, each) for each in request)):
                return self._plain.answer_all(request, limit, context)
        elif (not request.needs_check or self._is_sound(data)) and (
            session is None or note(session, request)
        ):
            echoed = self._echoed(data, request)
            if request.is_plain:
                return self._plain.answer(echoed, limit, context)
            entry, handler = request.entry, request.entry.handler
            call = Call(entry.name, handler.named(request.params), request.id, handler)
            context = context or self._nobody
            to = ReplyTo(echoed.id, request.jsonrpc, limit, context)
            return self._begin_call(call, entry.chain, to, request.timeout, context)
        return self._begin_other(data, context, limit, session, alone)

    def _begin_other(
        self,
        data: bytes,
        context: Context | None,
        limit: int | None,
        session: Session | None,
        alone: bool,
    ) -> Begun:
        """Begin to answer a message that is in some way special."""
        message = self.codec.decode(data)
        context = context or self._nobody
        if not isinstance(message, list):
            return self.begin_read(data, message, context, limit, session, alone, is_special=True)
        entries = [(bytes(each), None) for each in message]  # most of which are not special
        return self._begin_batch(data, entries, context, limit, session)

    def handler(self, method: str) -> Handler | None:
        """What answers a method, `None` if nothing does."""
        entry = self._table.entry(method)
        return None if entry is None else entry.handler

    def read(self, data: bytes) -> Read:
        """Read the envelope of a message, for `begin_read` and `decline`."""
        message = self.codec.decode(data)
        if not isinstance(message, list):
            return message
        if not 0 < len(message) <= self._limits.batch:
            return _JUNK
        return [self._read_entry(bytes(each)) for each in message]

    def _read_entry(self, data: bytes) -> tuple[bytes, Message | Invalid]:
        message = self.codec.decode(data)
        return data, _JUNK if isinstance(message, list) else message

    def decline(
        self,
        data: bytes,
        message: Read,
        error: RpcError,
        limit: int | None,
        session: Session,
        context: Context,
    ) -> bytes | None:
        """Answer one message with an error instead of running anything.

        Args:
            data: the message; responses, credit and cancellations in it are taken all the same.
            message: what `read` made of it.
            error: the answer to each request.
            limit: bytes that the response may have, `None` for any number.
            session: takes responses.
            context: the connection's.
        """
        if isinstance(message, list):
            replies = [
                self.decline(entry, each, error, limit, session, context) for entry, each in message
            ]
            return self.codec.join([*filter(None, replies)]) if any(replies) else None
        if session.hear(message, data):
            return None
        if isinstance(message, Invalid):
            return self._refuse(message, limit, data, session)
        if message.id is UNSET:
            if message.method in _FOR_RUNNING_CALLS:
                self._begin_message(data, message, context, limit)
            return None
        return self._replier.error(self._reply_to(data, message, limit), "", error)

    def fail(self, to: ReplyTo, error: RpcError) -> bytes | None:
        """The response that carries an error."""
        return self._replier.error(to, "", error)

    def begin_read(
        self,
        data: bytes,
        message: Read,
        context: Context,
        limit: int | None,
        session: Session | None,
        alone: bool = True,
        *,
        is_special: bool = False,
    ) -> Begun:
        """Begin to answer a message that is read already, and may be known to be special."""
        if isinstance(message, list):
            return self._begin_batch(data, message, context, limit, session)
        if session is not None and session.hear(message, data):
            return None
        if isinstance(message, Invalid):
            if session is not None and data.startswith(SEGMENT_MARK):
                session.hear_segment()
            return self._refuse(message, limit, data, session if alone else None)
        if not is_special and context._standing.refusal is None:
            request = self._one_pass.quick(data, message)
            if request is not None:
                return self._plain.answer(request, limit, context)
        return self._begin_message(data, message, context, limit)

    def _begin_batch(
        self,
        data: bytes,
        entries: Sequence[tuple[bytes, Message | Invalid | None]],
        context: Context,
        limit: int | None,
        session: Session | None,
    ) -> Begun:
        if not 0 < len(entries) <= self._limits.batch:
            return self._refuse(_JUNK, limit, data, session)
        batch = Batch(self._replier, limit)
        for entry, message in entries:
            if message is not None:
                begun = self.begin_read(entry, message, context, limit, session, alone=False)
            elif self.codec.is_batch(entry):
                begun = self._refuse(_JUNK, limit)
            else:
                begun = self.begin(entry, context, limit, session, alone=False)
            if isinstance(begun, PendingCall):
                batch.calls.append(begun)
            else:
                assert not isinstance(begun, Batch)
                batch.add(begun, partial(self._reply_to_entry, entry, limit))
        if batch.calls:
            return batch
        reply = batch.join()
        read = (message or self.codec.decode(entry) for entry, message in entries)
        is_junk = not any(isinstance(each, Message) for each in read)
        is_mute = is_junk and session is not None and not session.noise.may_refuse(_JUNK, data)
        return None if is_mute else reply

    def _reply_to_entry(self, data: bytes, limit: int | None) -> ReplyTo:
        return self._reply_to(data, self._read_entry(data)[1], limit)

    def _reply_to(self, data: bytes, message: Read, limit: int | None) -> ReplyTo:
        if isinstance(message, list) or message.id is UNSET:
            return ReplyTo(None, "2.0", limit)
        id = self.codec.wire_id(data, message.id) if isinstance(message, Message) else message.id
        return ReplyTo(id, message.jsonrpc, limit)

    def _refuse(
        self, invalid: Invalid, limit: int | None, data: bytes = b"", session: Session | None = None
    ) -> bytes | None:
        """The error that answers what is no valid message, if any does; a session may forbid it."""
        if invalid.silent or (invalid.response and invalid.has_outcome):
            return None
        if session is not None and not session.noise.may_refuse(invalid, data):
            return None
        return self._replier.error(ReplyTo(invalid.id, invalid.jsonrpc, limit), "", invalid.error)

    def _begin_message(
        self, data: bytes, message: Message, context: Context, limit: int | None
    ) -> bytes | PendingCall | None:
        """Begin to answer a request or notification that is in some way special."""
        if message.method is UNSET:
            return None
        if message.traceparent is not ABSENT:
            context = self.traces.context(context, message.traceparent)
        id = message.id if message.id is UNSET else self.codec.wire_id(data, message.id)
        to = ReplyTo(id, message.jsonrpc, limit, context)
        try:
            entry = find(message.method, id is not UNSET, self._table, context)
            params = entry.handler.parse(bytes(message.params), self.codec)
        except Exception as problem:  # noqa: BLE001  # a param's own code may run
            return self._replier.error(to, message.method, problem)
        call = Call(entry.name, params, message.id, entry.handler)
        return self._begin_call(call, entry.chain, to, message.timeout, context, message.stream)

    def _begin_call(
        self,
        call: Call,
        chain: Chain,
        to: ReplyTo,
        timeout: float | UnsetType,
        context: Context,
        stream: bool = False,
    ) -> bytes | PendingCall | None:
        handler = call.handler
        if handler.plain and not chain.middleware and not stream:
            return self._call(call, None, to)
        running = CallContext.of(context, call.method, call.id)
        if stream and to.id is not UNSET:
            running.open_items(to)
        if handler.waits or chain.middleware or running.items is not None:
            seconds = shorter(handler.options.timeout, timeout)
            return self._new_call(call, running, to, chain, self._replier, seconds)
        return self._call(call, running, to)

    def _call(self, call: Call, context: CallContext | None, to: ReplyTo) -> bytes | None:
        """Answer a call that takes no time."""
        handler = call.handler
        try:
            value = handler.call(call.params, context)
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is its answer
            return self._replier.error(to, call.method, error)
        return self._replier.result(
            to, call.method, value, may_hold_nan=handler.may_hold_nan, kind=handler.result_type
        )


def _limit(context: Context | None) -> int | None:
    return None if context is None or context.info is None else context.info.max_message
