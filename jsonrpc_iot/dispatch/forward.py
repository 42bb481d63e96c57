"""Methods that somebody else answers: all names that begin with one prefix.

A dispatcher hands such calls on, and what comes back to its caller: results, errors and items of
streams as they are. Params and results are not looked at, unless the two ends speak different
codecs. What reaches the other end is a `Target`; a client is one.
"""

import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from msgspec import UNSET, Raw, Struct

from ..channel.clock import now
from ..channel.trace_context import part_of_trace
from ..errors import (
    CallTimeout,
    ChannelClosed,
    DeadlineExceeded,
    DeviceOffline,
    Forbidden,
    InvalidParams,
    JsonRpcIotError,
    MessageTooLarge,
    OutcomeUnknown,
    RpcError,
    ServerError,
    TooLarge,
    TransportError,
    Unencodable,
)
from ..protocol.codec.codec import DECODE_ERRORS, Codec
from .declare.context import Context
from .declare.options import Options
from .declare.stream import NoItems
from .declare.target import CALL_SECONDS, Target
from .described import Described, texts_among
from .handler import Begun, Handler, Later, is_for_query
from .run.context import CallContext

_LEARNING_SECONDS = 5.0
_NO_TRACE = nullcontext()


class Untouched(Struct, frozen=True):
    """Params that are handed on as they came.

    Args:
        raw: the bytes, empty for none.
        codec: in which they are written.
    """

    raw: bytes
    codec: Codec

    def as_sent(self, codec: str) -> Any:
        """What to send to an end with a codec of that name: the same bytes, or what they say.

        Raises:
            InvalidParams: they say what nobody can read.
        """
        if not self.raw:
            return None
        if self.codec.name == codec:
            return Raw(self.raw)
        try:
            return self.codec.decode_value(self.raw, Any)
        except DECODE_ERRORS as error:
            raise InvalidParams(data={"path": "$", "message": str(error)}) from None


class Forward(Described):
    """The other end behind one prefix.

    Args:
        target: reaches it, if that is open already.
        requires: the permission that a caller needs for anything there.
        timeout: seconds that a call may take whose caller does not say; `None` for any time.

    Attributes:
        options: how its methods run.
        target: as above.
    """

    def __init__(
        self,
        target: Target | None = None,
        *,
        requires: str | None = None,
        timeout: float | None = CALL_SECONDS,
    ) -> None:
        super().__init__(target)
        self.options = Options(requires=requires)
        self._timeout = timeout

    def handler(self, method: str) -> Handler:
        """What answers a method or takes a notification, by its name at the other end."""
        return Forwarded(self, method)

    async def find(self, deadline: float) -> Target:
        """What reaches the other end, once it is there.

        Args:
            deadline: when the caller stops waiting, as the event loop counts.

        Raises:
            DeviceOffline: nothing does.
        """
        if self.target is None:
            raise self.offline()
        return self.target

    async def find_again(self, deadline: float) -> Target:
        """What reaches the other end, once it is there again; see `find`."""
        return await self.find(deadline)

    def offline(self) -> DeviceOffline:
        """The error that says that the other end is away."""
        return DeviceOffline()

    def check_described(self) -> None:
        """See whether what it says of itself is to be had.

        Raises:
            DeviceOffline: it is away.
            Forbidden: it refuses to say, to this end: its callers have proved nothing wrong.
        """
        if self.target is None:
            raise self.offline()
        if isinstance(self._refused, DeviceOffline):  # so says a gateway there
            raise DeviceOffline(self._refused.message, self._refused.data)
        if self._refused is not None:
            raise Forbidden(self._refused.message, self._refused.data)

    def begin(
        self,
        method: str,
        params: Untouched,
        context: Context,
        settle: Callable[[Any], object],
    ) -> "_Relay | None":
        """Have a method answered without a task, if that can be.

        Args:
            method: the name at the other end.
            params: of the call.
            context: of the call.
            settle: is told the result, or the `RpcError` that takes its place.
        """
        target = self.target
        begin = getattr(target, "begin_call", None)  # not every target has it
        if target is None or begin is None or context.id is UNSET:
            return None
        assert isinstance(context, CallContext)
        deadline = self._deadline(context)
        timeout = None if deadline == math.inf else deadline - now()
        if timeout is not None and timeout <= 0:
            return None
        again = partial(self._answer_again, method, params, context, deadline)
        relay = _Relay(self, again, settle)
        try:
            if params.codec.name != target.info.codec:
                return None
            members = Raw(params.raw) if params.raw else None
            with _in_trace_of(context):
                relay.call = begin(method, members, timeout, relay.end)
        except JsonRpcIotError:  # which is explained where it is raised again
            return None
        if relay.call is None:
            return None
        return relay

    async def answer(self, method: str, params: Untouched, context: CallContext) -> Any:
        """Have a method answered, or a notification taken.

        Args:
            method: the name at the other end.
            params: of the call.
            context: of the call.

        Raises:
            RpcError: what the other end answers, or what keeps it from that.
        """
        deadline = self._deadline(context)
        target = await self.find(deadline)
        try:
            idempotent = self.idempotence(method) is True
            return await self._hand_on(target, method, params, context, deadline, idempotent)
        except ChannelClosed:
            if context.id is UNSET or context.items is not None:
                raise OutcomeUnknown from None
        return await self._answer_again(method, params, context, deadline)

    def _deadline(self, context: Context) -> float:
        if context.deadline is not None:
            return context.deadline
        return math.inf if self._timeout is None else now() + self._timeout

    async def _hand_on(
        self,
        target: Target,
        method: str,
        params: Untouched,
        context: CallContext,
        deadline: float,
        idempotent: bool,
    ) -> Any:
        """Call the other end, or notify it.

        Raises:
            ChannelClosed: the connection has ended meanwhile.
            RpcError: what the other end answers, or what keeps it from that.
        """
        try:
            codec = target.info.codec
        except ChannelClosed:
            raise self.offline() from None
        try:
            members = params.as_sent(codec)
            kind = Raw if codec == params.codec.name else Any
            with _in_trace_of(context):
                if context.id is UNSET:
                    return await target.notify(method, members)
                if context.items is not None:
                    return await self._pass_on(target, method, members, kind, context)
                left = None if deadline == math.inf else max(0.0, deadline - now())
                return await target.call(
                    method, members, result=kind, timeout=left, idempotent=idempotent
                )
        except (RpcError, ChannelClosed):
            raise
        except JsonRpcIotError as error:
            raise self.refusal(error) from None

    async def _answer_again(
        self, method: str, params: Untouched, context: CallContext, deadline: float
    ) -> Any:
        """Have a method answered whose connection has ended, if it does no harm to call it twice.

        Where nobody knows whether it does, the other end is asked when it is back.

        Raises:
            OutcomeUnknown: it may do harm, or nobody can say.
            RpcError: as for `answer`.
        """
        known = self.idempotence(method)
        try:
            if known is None:
                soon = min(deadline, now() + _LEARNING_SECONDS)
                await self.find_again(soon)
                await self.learn(method, soon - now())
                known = self.idempotence(method)
            if known:
                target = await self.find_again(deadline)
                return await self._hand_on(target, method, params, context, deadline, True)
        except (ChannelClosed, DeviceOffline):
            pass
        raise OutcomeUnknown

    async def _pass_on(
        self, target: Target, method: str, params: Any, kind: Any, context: CallContext
    ) -> Any:
        """Hand items on as the caller takes them, which may be never: that is up to the caller."""
        assert context.items is not None
        async with target.stream(method, params, item=kind, timeout=None) as items:
            try:
                return await context.items.send_all(items)
            except NoItems as whole:
                return whole.result

    def refusal(self, error: JsonRpcIotError) -> RpcError:
        """What the caller is told of a call that the other end has not answered."""
        if isinstance(error, MessageTooLarge):
            return TooLarge(data={"size": error.size, "limit": error.limit})
        if isinstance(error, CallTimeout):
            return DeadlineExceeded()
        if isinstance(error, Unencodable):
            return InvalidParams(data={"path": "$", "message": str(error)})
        if isinstance(error, TransportError):
            return self.offline()
        return ServerError(str(error))  # a malformed answer


def _in_trace_of(context: Context) -> AbstractContextManager[None]:
    """Have what is handed on belong to the trace of its call."""
    return _NO_TRACE if context.traceparent is None else part_of_trace(context.traceparent)


class _Relay:
    """A call that is handed on without a task.

    Args:
        forward: the other end.
        again: answers it once its connection has ended.
        settle: is told what becomes of it.

    Attributes:
        call: the one to the other end.
    """

    __slots__ = ("_again", "_forward", "_settle", "call")

    def __init__(
        self,
        forward: Forward,
        again: Callable[[], Awaitable[Any]],
        settle: Callable[[Any], object],
    ) -> None:
        self._forward = forward
        self._again = again
        self._settle = settle
        self.call: Begun | None = None

    def cancel(self) -> None:
        """Have it cancelled at the other end, if that understands."""
        call, self.call = self.call, None  # which leads back to this
        if call is not None:
            call.cancel()

    def end(self, outcome: Raw | JsonRpcIotError) -> None:
        """Take what became of it."""
        self.call = None
        if isinstance(outcome, ChannelClosed):
            self._settle(Later(self._again))
        elif isinstance(outcome, JsonRpcIotError) and not isinstance(outcome, RpcError):
            self._settle(self._forward.refusal(outcome))
        else:
            self._settle(outcome)


class Forwarded(Handler):
    """The handler of one name that begins with a prefix; it does not know the params' types.

    Args:
        forward: the other end.
        method: the name there.
    """

    is_coroutine = waits = wants_context = True
    is_generator = plain = by_name = False
    params_optional = True
    may_hold_nan = False  # no codec lets it in
    result_type = Any
    params = Untouched
    positions = None
    doc = ""

    def __init__(self, forward: Forward, method: str) -> None:
        self.options = forward.options
        self._forward = forward
        self._method = method
        self.begin = partial(forward.begin, method)

    def parse(self, raw: bytes, codec: Codec) -> Struct:
        """Take params as they are; see `Handler.parse`."""
        return Untouched(raw, codec)

    async def kinds_in_query(self, *, may_call: bool, only_reads: bool) -> dict[str, Any] | None:
        """What the other end says of the params; see `Handler.kinds_in_query`."""
        if not may_call:
            return {}
        await self._forward.find(now() + _LEARNING_SECONDS)
        entry = await self._forward.learn(self._method, _LEARNING_SECONDS)
        is_idempotent = self._forward.idempotence(self._method)
        if not (is_idempotent and is_for_query(entry.get("x-effect"), only_reads)):
            return None
        return dict.fromkeys(texts_among(entry), str)

    def call(self, params: Any, context: Context | None) -> Awaitable[Any]:
        """Have it answered; see `Handler.call`."""
        assert isinstance(context, CallContext)
        return self._forward.answer(self._method, params, context)
