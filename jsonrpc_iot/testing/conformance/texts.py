"""Cases about what is JSON and what is not, and about batches."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from . import rules
from .case import Case
from .corners import BOM, BROKEN_VALUES, SOUND_VALUES
from .device import UNKNOWN, Device, Given
from .model import Profile
from .replies import (
    INVALID_REQUEST,
    NO_ID,
    NO_ROOM,
    NOT_AN_OBJECT_AFTER_IOT,
    PARSE_ERROR,
    UNPARSED_AFTER_IOT,
    Reply,
    fail,
)

_STANDARD_BROKEN = {"NaN", "cut-true", "trailing-comma-array", "missing-colon", "bad-escape"}
_STANDARD_BROKEN |= {"utf8-lone-ff", "single-quotes", "control-character"}

_NESTING = 64
_ENTRIES = 256
_THREE_ERRORS = 250  # bytes


def parsing(device: Device) -> Iterator[Case]:
    """Broken input, and recovery after it."""
    whole = device.request(next(device.ids))
    for name, sent in {
        "truncated": whole[:-1],
        "truncated in a text": whole[: whole.rindex(b'"')],
        "no JSON at all": b"hello",
        "bytes that are no text": b"\xff\xfe\x80",
        "open brackets": b"[" * 30,
    }.items():
        yield Case(
            name=f"goes on after: {name}",
            rule=rules.NO_JSON,
            sent=(sent,),
            check=_anything,
            may_end=True,
            profile="minimal",
        )
        yield replace(_unparsed(name, sent), may_end=device.is_loose)
    if not device.is_stream:
        yield _unparsed("letters behind the message", whole + b" x", rule=rules.BEHIND)
        yield _unparsed("two messages in a packet", whole + whole, "full", rules.BEHIND)
        if not device.is_http and not device.info.is_sealed:  # which carries no empty one
            yield _unparsed("an empty packet", b"", "full", rules.EMPTY_PACKET)
    for name, text in BROKEN_VALUES.items():
        n = next(device.ids)
        message = device.request(n, Given(UNKNOWN, "[BROKEN]"))
        profile: Profile = "standard" if name in _STANDARD_BROKEN else "full"
        case = _unparsed(f"{name} in params", message.replace(b"BROKEN", text), profile)
        if device.is_loose:  # RFC 4627: a parser may accept forms that are no JSON
            case = replace(case, also=((device.not_there(n),),), may_end=True)
        yield case
    for scalar in ("1", '"x"', "null", "true"):
        yield Case(
            name=f"the scalar {scalar}",
            rule=rules.SCALAR,
            sent=(scalar.encode(),),
            expect=(NOT_AN_OBJECT_AFTER_IOT,),
            also=((UNPARSED_AFTER_IOT,),) if device.is_loose else (),  # RFC 4627: it is no JSON
        )
    yield from _sound(device)


def _sound(device: Device) -> Iterator[Case]:
    for name, (text, _) in SOUND_VALUES.items():
        n = next(device.ids)
        message = device.request(n, Given(UNKNOWN, "[SOUND]"))
        yield Case(
            name=f"is JSON: {name}",
            rule=rules.JSON,
            sent=(message.replace(b"SOUND", text),),
            expect=(device.not_there(n),),
            also=NO_ROOM if "000-digits" in name or "300-digits" in name else (),
            profile="full",
        )
    n = next(device.ids)
    yield Case(
        name="a leading BOM",
        rule=rules.BOM,
        sent=(BOM + device.request(n),),
        expect=(device.answered(n, v2=None),),
        profile="full",
    )
    n = next(device.ids)
    deepest = "[" * (_NESTING - 1) + "]" * (_NESTING - 1)
    yield Case(
        name=f"{_NESTING} levels",
        rule=rules.DEEP,
        sent=(device.request(n, Given(UNKNOWN, deepest)),),
        expect=(device.not_there(n),),
        also=NO_ROOM,
        profile="full",
    )
    n = next(device.ids)
    yield _unparsed(
        "65 levels", device.request(n, Given(UNKNOWN, f"[{deepest}]")), "full", rules.DEEP
    )


def _unparsed(
    name: str, sent: bytes, profile: Profile = "standard", rule: str = rules.NO_JSON
) -> Case:
    return Case(name=name, rule=rule, sent=(sent,), expect=(UNPARSED_AFTER_IOT,), profile=profile)


def _anything(values: object) -> str:
    return ""


def batches(device: Device) -> Iterator[Case]:
    """Arrays of messages; a device that refuses the first has none, which `full` alone asks for."""
    lacks = _Lacks()
    for case in _batches(device):
        if device.profile == "full":
            yield case
        elif lacks.reason:
            yield Case(name=case.name, rule=case.rule, inapplicable=lacks.reason)
        else:
            yield replace(case, lacks=lacks)


class _Lacks:
    """Looks for one error in answer to a batch, as from a device that has no batches.

    Attributes:
        reason: to try no others, once there was one.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._is_first = True

    def __call__(self, values: Sequence[object]) -> str:
        """Look at the answer to the first batch; others are not judged."""
        if self._is_first and len(values) == 1 and _is_refusal(values[0]):
            self.reason = "the device refuses batches"
        self._is_first = False
        return self.reason


def _is_refusal(value: object) -> bool:
    error = value.get("error") if isinstance(value, dict) else None
    return isinstance(error, dict) and error.get("code") in (INVALID_REQUEST, PARSE_ERROR)


def _batches(device: Device) -> Iterator[Case]:
    def call() -> tuple[bytes, Reply]:
        n = next(device.ids)
        return device.request(n), device.answered(n, v2=None)

    (a, a_back), (b, b_back) = call(), call()
    yield _batch("two requests", [a, b], (a_back, b_back), rules.BATCH)
    a, a_back = call()
    yield _batch("one request", [a], (a_back,), rules.BATCH)
    a, a_back = call()
    note = device.notification(Given(UNKNOWN))
    yield _batch("a request and a notification", [note, a], (a_back,), rules.BATCH)
    yield Case(
        name="notifications alone",
        rule=rules.NOTHING,
        sent=(_array([note, note]),),
    )
    n, (a, a_back) = next(device.ids), call()
    missing = device.request(n, Given(UNKNOWN))
    unknown = device.not_there(n)
    yield _batch("an unknown method beside a call", [missing, a], (unknown, a_back), rules.BATCH)
    yield Case(
        name="empty",
        rule=rules.EMPTY,
        sent=(b"[]",),
        expect=(NOT_AN_OBJECT_AFTER_IOT,),
    )
    junk = NOT_AN_OBJECT_AFTER_IOT
    count = 3 if device.info.fits(bytes(_THREE_ERRORS)) else 2
    numbers = [b"1", b"2", b"3"][:count]
    yield _batch("numbers instead of messages", numbers, (junk,) * count, rules.JUNK)
    a, a_back = call()
    yield _batch("junk beside a call", [b"1", a], (junk, a_back), rules.JUNK)
    yield _batch("a batch in a batch", [_array([note])], (NO_ID,), rules.NESTED, "full")
    yield _batch("an object that is no message", [b"{}"], (NO_ID,), rules.JUNK, "full")
    yield Case(
        name="broken",
        rule=rules.NO_JSON,
        sent=(_array([a])[:-1] + b",]",),
        expect=(UNPARSED_AFTER_IOT,),
        may_end=device.is_loose,
    )
    yield Case(
        name=f"more than {_ENTRIES} entries",
        rule=rules.LONG,
        sent=(_array([b"1"] * (_ENTRIES + 1)),),
        expect=(fail(None, INVALID_REQUEST, v2=None),),
        profile="full",
    )


def _batch(
    name: str,
    entries: list[bytes],
    back: tuple[Reply, ...],
    rule: str,
    profile: Profile = "standard",
) -> Case:
    return Case(name=name, rule=rule, sent=(_array(entries),), expect=(back,), profile=profile)


def _array(entries: list[bytes]) -> bytes:
    return b"[" + b",".join(entries) + b"]"
