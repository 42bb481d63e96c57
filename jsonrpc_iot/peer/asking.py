"""Calls that wait until it is known whether the other end knows the protocol's extensions.

Those whose results are streamed have to know, and those that belong to a trace want to say so.
"""

from collections.abc import Coroutine
from typing import Any

from ..channel.clock import now
from ..channel.trace_context import current_traceparent
from ..errors import CallTimeout, MalformedResponse, RpcError
from .calls import Calls

_ASKING_SECONDS = 2.0


async def learn_extensions(calls: Calls, timeout: float | None) -> bool:
    """Find out whether the other end understands the protocol's extensions.

    Args:
        calls: to that end.
        timeout: seconds that the caller has. One that does not say is not waited for as long.

    Raises:
        CallTimeout: it could not be asked in time, because other calls were open for so long.
    """
    if calls.session.extensions is None:
        if calls.in_flight is None:
            await _ask(calls, timeout)
        else:
            async with calls.in_flight.turn("rpc.ping", timeout) as left:
                if calls.session.extensions is None:  # else another one has asked meanwhile
                    await _ask(calls, left)
    return bool(calls.session.extensions)


def call_on(
    calls: Calls, method: str, params: Any, result: Any, timeout: float | None, idempotent: bool
) -> Coroutine[Any, Any, Any]:
    """Call a method of the other end and wait for its result; see `Peer.call`.

    The first call that belongs to a trace waits until it is known whether that may be said.
    """
    if _wants_to_know(calls):
        return _call_in_trace(calls, method, params, result, timeout, idempotent)
    return calls.call(method, params, result, timeout, idempotent)


async def notify_on(calls: Calls, method: str, params: Any) -> None:
    """Send a notification to the other end; see `Client.notify`, and `call_on` for traces."""
    await learn_for_trace(calls, None)
    await calls.send(calls.session.notification(method, params, current_traceparent()))


async def learn_for_trace(calls: Calls, timeout: float | None) -> None:
    """Find out whether the other end understands extensions, where a trace wants to know.

    Args:
        calls: to that end.
        timeout: as in `learn_extensions`.
    """
    if _wants_to_know(calls):
        await learn_extensions(calls, timeout)


def _wants_to_know(calls: Calls) -> bool:
    session = calls.session
    return session.extensions is None and not calls.has_asked and bool(current_traceparent())


async def _call_in_trace(
    calls: Calls, method: str, params: Any, result: Any, timeout: float | None, idempotent: bool
) -> Any:
    begun = now()
    await learn_extensions(calls, timeout)
    left = None if timeout is None else max(0.0, timeout - (now() - begun))
    return await calls.call(method, params, result, left, idempotent)


async def _ask(calls: Calls, timeout: float | None) -> None:
    calls.has_asked = True
    seconds = _ASKING_SECONDS if timeout is None else min(_ASKING_SECONDS, timeout)
    known: bool | None = None
    try:
        known = await calls.call_now("rpc.ping", None, Any, seconds, True) is True
    except (RpcError, MalformedResponse):
        known = False
    except CallTimeout:
        pass
    if calls.session.extensions is None:
        calls.session.extensions = known
