"""Cases about how messages are cut out of a stream of bytes."""

from collections.abc import Iterator, Sequence

from . import rules
from .case import Case
from .device import Device
from .replies import UNPARSED_AFTER_IOT


def framing(device: Device) -> Iterator[Case]:
    """Bytes that come together, apart, and with more or less between them."""
    if not device.is_stream or device.info.is_sealed:
        reason = "messages come one by one on this link"
        yield Case(name="framing", rule=rules.LINES, inapplicable=reason)
        return
    (a, a_id), (b, b_id), (c, c_id) = (_call(device) for _ in range(3))
    back = tuple(device.answered(id, v2=None) for id in (a_id, b_id))
    yield Case(
        name="two messages in one write",
        rule=rules.LINES,
        pieces=(a + b"\n" + b + b"\n",),
        expect=back,
    )
    yield Case(
        name="each byte by itself",
        rule=rules.LINES,
        pieces=(*(bytes([byte]) for byte in c), b"\n"),
        expect=(device.answered(c_id, v2=None),),
    )
    yield from _between(device)
    yield from _broken(device)


def _between(device: Device) -> Iterator[Case]:
    (a, a_id), (b, b_id) = _call(device), _call(device)
    back = tuple(device.answered(id, v2=None) for id in (a_id, b_id))
    yield Case(
        name="two messages with nothing between them",
        rule=rules.LINES,
        pieces=(a + b + b"\n",),
        expect=back,
        profile="full",
    )
    message, id = _call(device)
    yield Case(
        name="a message without a newline",
        rule=rules.LINES,
        pieces=(message,),
        expect=(device.answered(id, v2=None),),
        profile="full",
    )
    for name, around in {
        "a carriage return before the newline": b"%s\r\n",
        "spaces and empty lines around a message": b"\n\r\n \t%s \n\n",
    }.items():
        message, id = _call(device)
        yield Case(
            name=name,
            rule=rules.SKIPPED,
            pieces=(around % message,),
            expect=(device.answered(id, v2=None),),
            profile="full",
        )


def _broken(device: Device) -> Iterator[Case]:
    message, id = _call(device)
    yield Case(
        name="letters behind a message",
        rule=rules.BEHIND,
        pieces=(message + b" x\n",),
        expect=(device.answered(id, v2=None), UNPARSED_AFTER_IOT),
        profile="full",
    )
    message, id = _call(device)
    yield Case(
        name="a broken line before a message",
        rule=rules.BROKEN_LINE,
        pieces=(b'{"broken":[\n' + message + b"\n",),
        expect=(UNPARSED_AFTER_IOT, device.answered(id, v2=None)),
        profile="full",
    )
    message, id = _call(device)
    yield Case(
        name="a message over several lines",
        rule=rules.LINES,
        pieces=(message.replace(b",", b",\n", 1) + b"\n",),
        check=_are_errors,
        profile="full",
    )


def _are_errors(values: Sequence[object]) -> str:
    """Each line may be answered with an error without an id, and nothing else may come."""
    for value in values:
        if UNPARSED_AFTER_IOT.faults(value):
            return "something else than -32700 with id null came"
    return "" if values else "no line was answered"


def _call(device: Device) -> tuple[bytes, int]:
    id = next(device.ids)
    return device.request(id), id
