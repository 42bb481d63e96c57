"""Cases about many messages and large ones: sizes, copies, pipelining, floods."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import anyio

from . import rules
from .case import Case
from .device import UNKNOWN, Device, Given
from .replies import OUTCOME_UNKNOWN, TOO_LARGE, fail
from .talk import Talk

_SMALLEST = 200
_LARGEST = 1 << 16
_AT_ONCE = 8
_FLOOD = 64
_LOSSY_FLOOD = 16
_LATER_SECONDS = 0.7  # more than those in which a copy is a doubled packet
_MEASURED = 5


def sizes(device: Device) -> Iterator[Case]:
    """Messages as large as the link carries."""
    limit = min(device.info.max_message or _LARGEST, _LARGEST)
    for size in sorted({min(_SMALLEST, limit), limit}):
        n = next(device.ids)
        short = device.request(n)
        if size < len(short):
            continue
        message = b"{" + b" " * (size - len(short)) + short[1:]
        too_large = (fail(n, TOO_LARGE, v2=None),), (fail(None, TOO_LARGE, v2=None),)
        yield Case(
            name=f"a request of {size} bytes",
            rule=rules.TOO_LARGE,
            sent=(message,),
            expect=(device.answered(n, v2=None),),
            also=too_large if size > _SMALLEST else (),
        )


def copies(device: Device) -> Iterator[Case]:
    """Requests that come twice, and late."""
    if device.info.reliable:
        reason = "no message is doubled on this link"
        yield Case(name="copies", rule=rules.DOUBLED, inapplicable=reason)
        return
    n = next(device.ids)
    back = device.answered(n, v2=None)
    yield Case(
        name="a doubled packet",
        rule=rules.JOINED,
        sent=(device.request(n),) * 2,
        expect=(back,),
        also=((back, back),),
    )
    n = next(device.ids)
    back = device.answered(n, v2=None)
    yield Case(
        name="a late copy",
        rule=rules.DOUBLED,
        sent=(device.request(n),),
        expect=(back, back),
        waits=device.request(n),
    )
    reason = "" if device.pings else "the device does not know the extensions"
    yield Case(
        name="a marked copy after a while",
        rule=rules.MARKED,
        talk=partial(_copied_later, device),
        profile="full",
        inapplicable=reason,
    )
    n = next(device.ids)
    back = device.answered(n, v2=None)
    yield Case(
        name="a marked copy",
        rule=rules.MARKED,
        sent=(device.request(n, more='"retry":false,'),),
        expect=(back, back),
        also=((fail(n, OUTCOME_UNKNOWN, v2=None),),),  # where the first one was lost
        waits=device.request(n, more='"retry":true,'),
        profile="full",
        inapplicable=reason,
    )


async def _copied_later(device: Device, talk: Talk) -> str:
    id = next(device.ids)
    await talk.send(device.request(id, more='"retry":false,'))
    answer = await talk.answer(id)
    if answer is None:
        return "no answer"
    await anyio.sleep(_LATER_SECONDS)
    talk.forget()
    await talk.send(device.request(id, more='"retry":true,'))
    again = await talk.answer(id)
    return "" if again == answer else "the copy is not answered as the first one"


def timing(device: Device) -> Iterator[Case]:
    """How long answers take, where that makes others repeat their requests."""
    info = device.info
    is_reliable = "nothing is repeated on this link" if info.reliable else ""
    yield Case(
        name="answers before the first timer",
        rule=rules.TIMER,
        talk=partial(_quick, device),
        profile="full",
        inapplicable=is_reliable,
    )


async def _quick(device: Device, talk: Talk) -> str:
    """The quickest answer counts: what delays others may be the link, or this machine."""
    took = []
    for _ in range(_MEASURED):
        begin = time.monotonic()
        if await talk.call(Given(UNKNOWN)) is not None:  # for which no handler runs
            took.append(time.monotonic() - begin)
    if not took:
        return "no answer"
    size = len(device.request(next(device.ids), Given(UNKNOWN)))
    timer = device.info.retry_seconds + size * device.info.retry_seconds_per_byte
    why = f"the quickest of {len(took)} answers took {min(took):.2f} s, the timer {timer:.2f} s"
    return why if min(took) > timer else ""


def pipelining(device: Device) -> Iterator[Case]:
    """Requests behind each other, without waiting for answers."""
    rule = rules.AT_ONCE
    if device.info.in_flight == 1 or device.is_http:
        reason = "one request is sent at a time on this link"
        yield Case(name="requests in a row", rule=rule, inapplicable=reason)
        return
    ids = [next(device.ids) for _ in range(_AT_ONCE)]
    yield Case(
        name=f"{_AT_ONCE} requests in a row",
        rule=rule,
        sent=tuple(map(device.request, ids)),
        expect=tuple(device.answered(id, v2=None) for id in ids),
        check=None if device.info.reliable else _Answers(ids, is_lossy=True),
    )
    flood = _FLOOD if device.info.reliable else _LOSSY_FLOOD
    ids = [next(device.ids) for _ in range(flood)]
    yield Case(
        name=f"a flood of {flood} requests",
        rule=rules.BUSY,
        sent=tuple(map(device.request, ids)),
        expect=tuple(device.answered(id, v2=None) for id in ids),
        check=_Answers(ids, is_lossy=not device.info.reliable),
    )


class _Answers:
    """Whether each request was answered once.

    Args:
        ids: of the requests.
        is_lossy: some may have been lost.
    """

    def __init__(self, ids: Sequence[int], *, is_lossy: bool) -> None:
        self._ids = ids
        self._is_lossy = is_lossy

    def __call__(self, values: Sequence[object]) -> str:
        got = Counter(str(value.get("id")) for value in values if isinstance(value, dict))
        wanted = Counter(map(str, self._ids))
        if extra := got - wanted:
            return f"answers that nobody waits for: {dict(extra)}"
        missing = wanted - got
        if len(values) != got.total():
            return "an answer is no object"
        if missing and not self._is_lossy:
            return f"{missing.total()} of {wanted.total()} were not answered"
        return "" if got else "none was answered"
