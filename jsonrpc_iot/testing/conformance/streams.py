"""Cases about calls that last: items and their credit, deadlines, cancellation.

`rpc.methods` is such a call where it has more items than may come without credit.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any

from . import rules
from .case import Case
from .device import Device, Given
from .model import Unchecked
from .replies import CANCELLED, DEADLINE_EXCEEDED
from .talk import Talk, code_of

_CREDIT = 8
_DEADLINE = 0.5
_SHORTEST = 0.9 * _DEADLINE  # by the device's clock
_SOON = 0.001

_METHODS = Given("rpc.methods")

Dialogue = Callable[[Device, Talk], Awaitable[str]]


def streams(device: Device) -> Iterator[Case]:
    """Items, credit, deadlines and cancellation, of devices that know the extensions."""
    knows = device.pings
    reason = "" if knows else "the device does not answer rpc.ping with true, so it knows none"
    one_way = "" if device.info.can_call_back else "the device sends nothing by itself on this link"
    few = ""
    if device.names is None:
        few = "the device does not name its methods, of which a stream could be"
    elif len(device.names) <= _CREDIT:
        few = f"the {len(device.names)} names of its methods need no credit"
    for name, rule, talk, needs in (
        ("items in order", rules.COUNT, _in_order, few if device.names is None else ""),
        ("no item without credit", rules.CREDIT, _credit, few),
        ("a stream whose time is over", rules.TIMEOUT, _deadline, few),
        ("a stream that is cancelled", rules.CANCEL, _cancelled, few),
        ("a call that is cancelled at once", rules.CANCEL, _at_once, ""),
    ):
        yield _case(device, name, rule, talk, reason or one_way, needs)
    yield _case(device, "a call that has no time", rules.TIMEOUT, _no_time, reason)


def _case(
    device: Device, name: str, rule: str, talk: Dialogue, lacks: str, needs: str = ""
) -> Case:
    return Case(
        name=name,
        rule=rule,
        talk=partial(talk, device),
        profile="full",
        inapplicable=lacks,
        unverified=needs,
    )


def _begin(device: Device, more: str = "") -> tuple[int, bytes]:
    id = next(device.ids)
    return id, device.request(id, _METHODS, f'"stream":true,{more}')


def _more(device: Device, id: int, upto: int) -> bytes:
    return device.notification(Given("rpc.more", f'{{"id":{id},"upto":{upto}}}'))


def _items(talk: Talk, id: int) -> list[tuple[Any, Any]]:
    params = [note.get("params") for note in talk.pushed("rpc.item")]
    ours = [each for each in params if isinstance(each, dict) and each.get("id") == id]
    return [(each.get("seq"), each.get("item")) for each in ours]


def _not_these(device: Device, talk: Talk, id: int, upto: int) -> str:
    """What is wrong with the items that have come, of which there may be as many as that."""
    assert device.names is not None
    wanted = list(enumerate(device.names[:upto]))
    found = _items(talk, id)
    if strays := [each for each in found if each not in wanted]:
        return f"an item that should not come: {strays[0]!r:.100}"
    if talk.is_lossy or found == wanted:
        return ""
    if sorted(found, key=str) == sorted(wanted, key=str):
        return "the items are not in order"
    return f"{len(found)} items, not {len(wanted)}"


def _need_items(answer: Mapping[str, Any]) -> None:
    """A device may answer whole."""
    if isinstance(answer.get("result"), list):
        raise Unchecked("not applicable", "the device answers the list as a whole")


async def _in_order(device: Device, talk: Talk) -> str:
    assert device.names is not None
    id, request = _begin(device)
    count = len(device.names)
    await talk.send(request, _more(device, id, count + 1))
    answer = await talk.answer(id)
    await talk.hear(count, "rpc.item")
    if answer is None:
        return "no final result"
    _need_items(answer)
    result = answer.get("result")
    if not isinstance(result, dict) or result.get("count") != count:
        return f'the final result is not {{"count":{count}}}'
    return _not_these(device, talk, id, count)


async def _credit(device: Device, talk: Talk) -> str:
    assert device.names is not None
    id, request = _begin(device)
    await talk.send(request)
    await talk.hear(_CREDIT, "rpc.item")
    await talk.settle()
    for answer in talk.answers(id):
        _need_items(answer)
    why = _not_these(device, talk, id, _CREDIT)
    if not why and talk.answers(id):
        why = "the final result comes before the items have"
    if not why:
        await talk.send(_more(device, id, _CREDIT + 1))
        await talk.hear(_CREDIT + 1, "rpc.item")
        await talk.settle()
        why = _not_these(device, talk, id, _CREDIT + 1)
    await talk.send(device.notification(Given("rpc.cancel", f'{{"id":{id}}}')))
    await talk.answer(id)
    return why


async def _deadline(device: Device, talk: Talk) -> str:
    id, request = _begin(device, f'"timeout":{_DEADLINE},')
    begin = time.monotonic()
    await talk.send(request)
    answer = await talk.answer(id, _DEADLINE)
    if answer is None:
        return "no answer"
    _need_items(answer)
    if code_of(answer) != DEADLINE_EXCEEDED:
        return f"not answered with {DEADLINE_EXCEEDED}"
    took = time.monotonic() - begin
    return f"answered after {took:.3f} s, before the time was over" if took < _SHORTEST else ""


async def _cancelled(device: Device, talk: Talk) -> str:
    id, request = _begin(device)
    await talk.send(request)
    await talk.settle()
    if talk.answers(id):
        raise Unchecked("not verified", "the stream does not wait for credit")
    await talk.send(device.notification(Given("rpc.cancel", f'{{"id":{id}}}')))
    answer = await talk.answer(id)
    return "" if code_of(answer) == CANCELLED else f"not answered with {CANCELLED}"


async def _no_time(device: Device, talk: Talk) -> str:
    id = next(device.ids)
    await talk.send(device.request(id, more=f'"timeout":{_SOON},'))
    return await _once(device, talk, id, DEADLINE_EXCEEDED)


async def _at_once(device: Device, talk: Talk) -> str:
    id = next(device.ids)
    cancel = device.notification(Given("rpc.cancel", f'{{"id":{id}}}'))
    await talk.send(device.request(id), cancel)
    return await _once(device, talk, id, CANCELLED)


async def _once(device: Device, talk: Talk, id: int, code: int) -> str:
    """Whether a call is answered once, as ever or with the code."""
    answer = await talk.answer(id)
    await talk.settle()
    if answer is None:
        return "no answer"
    if len(talk.answers(id)) > 1:
        return "answered twice"
    return "" if code_of(answer) in (device.code, code) else f"neither its answer nor {code}"
