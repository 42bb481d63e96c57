"""Cases about which notifications a peer gets, of devices that say so of themselves."""

from collections.abc import Iterator
from functools import partial

from . import rules
from .case import Case, Conversation
from .device import Device, Given
from .model import Unchecked
from .replies import INVALID_PARAMS, METHOD_NOT_FOUND
from .talk import Talk, code_of

_SUBSCRIBE, _UNSUBSCRIBE = "rpc.subscribe", "rpc.unsubscribe"
_NOTHING = Given(_SUBSCRIBE, '["no.such.name"]')


def subscriptions(device: Device) -> Iterator[Case]:
    """Subscribing, and what comes then."""
    reason = ""
    if not {_SUBSCRIBE, _UNSUBSCRIBE} <= set(device.names or ()):
        reason = "the device does not name rpc.subscribe among its methods"
    elif not device.info.can_call_back:
        reason = "there is no peer to remember it for on this link"
    talks: tuple[tuple[str, str, Conversation], ...] = (
        ("subscribing and unsubscribing", rules.SUBSCRIBE, _both),
        ("patterns that are none", rules.WRONG_PARAMS, _not_patterns),
        ("what does not match does not come", rules.SUBSCRIBE, partial(_filtered, device)),
    )
    for name, rule, talk in talks:
        yield Case(name=name, rule=rule, talk=talk, profile="full", inapplicable=reason)


async def _need_peer(talk: Talk) -> None:
    """Go back to all notifications, where there is a peer to remember that for."""
    answer = await talk.call(Given(_UNSUBSCRIBE))
    if code_of(answer) == METHOD_NOT_FOUND:
        raise Unchecked("not applicable", "there is no peer to remember it for on this link")


async def _both(talk: Talk) -> str:
    await _need_peer(talk)
    for call in (_NOTHING, Given(_SUBSCRIBE, '["a.*","b"]'), Given(_UNSUBSCRIBE)):
        answer = await talk.call(call)
        if answer is None or "result" not in answer:
            return f"{call.name} is not answered with a result"
    return ""


async def _not_patterns(talk: Talk) -> str:
    await _need_peer(talk)
    for params in ("[5]", '{"patterns":5}', "{}"):
        answer = await talk.call(Given(_SUBSCRIBE, params))
        if code_of(answer) != INVALID_PARAMS:
            return f"{params} is not answered with {INVALID_PARAMS}"
    return ""


async def _filtered(device: Device, talk: Talk) -> str:
    calls = {call.name: call for call in (*device.reading, *device.given)}.values()
    await _need_peer(talk)
    for call in calls:
        await talk.call(call)
        await talk.settle()
    await talk.linger()
    heard = [note["method"] for note in talk.pushed() if not note["method"].startswith("rpc.")]
    if not heard:
        reason = "no method that may be called makes the device notify: --method gives one"
        raise Unchecked("not verified", reason)
    await talk.call(_NOTHING)
    before = len(talk.pushed())
    for call in calls:
        await talk.call(call)
        await talk.settle()
    strays = [note["method"] for note in talk.pushed()[before:]]
    await talk.call(Given(_UNSUBSCRIBE))
    strays = [name for name in strays if not name.startswith("rpc.")]
    return f"{strays[0]} came, which does not match" if strays else ""
