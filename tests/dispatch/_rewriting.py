"""Messages written in every way that their format leaves open, which all say the same."""

import json
from collections.abc import Iterable, Sequence
from random import Random

import msgspec

from tests.protocol.codec import msgpack_bytes

_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\n": "\\n", "\t": "\\t", "\b": "\\b"}
_SPACE = ("", "", "", " ", "\n", "\t \r\n")
_UNKNOWN = ("meta", "x-trace", "Method", "ID", "param", "")
_OTHERS: tuple[object, ...] = (None, "other", 7, [], {"a": [1.5, "\u00e9"]}, 2.5, -0.0)


class Members(list[tuple[str, object]]):
    """An object whose members have an order, and may come twice."""


class Number(str):
    """A number as it is spelt."""

    __slots__ = ()


def written(value: object, random: Random) -> bytes:
    """A value as a JSON text, with the choices that JSON leaves made at random.

    A surrogate in it may become an escape, or a byte that is no UTF-8.
    """
    return _text(value, random).encode(errors="surrogateescape")


def packed(value: object, random: Random) -> bytes:
    """A value in MessagePack, with the choices that it leaves made at random.

    Raises:
        OverflowError: an integer has more than 64 bits.
    """
    form = random.choice((0, 0, 0, 1, 2))
    if isinstance(value, Number):
        value = float(value)
    if isinstance(value, str):
        return msgpack_bytes.text(value.encode(errors="surrogateescape"), form)
    if isinstance(value, dict):
        value = Members(value.items())
    if isinstance(value, Members):
        pairs = [(packed(name, random), packed(each, random)) for name, each in value]
        return msgpack_bytes.mapping(pairs, form)
    if isinstance(value, list | tuple):
        return msgpack_bytes.array([packed(item, random) for item in value], form)
    return msgspec.msgpack.encode(value)


def rewritten(message: dict[str, object], names: Sequence[str], random: Random) -> Members:
    """Another message with the same meaning.

    Args:
        message: a request or notification, with params by name.
        names: of all params, in order.
        random: makes the choices.
    """
    params = message.get("params")
    members = Members(message.items())
    if isinstance(params, dict):
        by_position = list(params) == list(names) and random.random() < 0.5
        given = list(params.values()) if by_position else _shuffled(params.items(), random)
        members = Members((name, given if name == "params" else each) for name, each in members)
    members = _shuffled(members, random)
    for name in random.sample(_UNKNOWN, random.choice((0, 0, 1, 2))):
        members.insert(random.randrange(len(members) + 1), (name, random.choice(_OTHERS)))
    return members


def _shuffled(given: Iterable[tuple[str, object]], random: Random) -> Members:
    """Members in any order, some of them twice, of which the last counts."""
    members = Members(given)
    random.shuffle(members)
    for name, _ in tuple(members):
        if random.random() < 0.1:
            members.insert(0, (name, random.choice(_OTHERS)))
    return members


def _text(value: object, random: Random) -> str:
    space = random.choice(_SPACE)
    if isinstance(value, Number):
        return value
    if isinstance(value, str):
        return f'"{"".join(_character(each, random) for each in value)}"'
    if isinstance(value, dict):
        value = Members(value.items())
    if isinstance(value, Members):
        pairs = [f"{_text(name, random)}{space}:{_text(each, random)}" for name, each in value]
        return f"{{{space}{f'{space},'.join(pairs)}{space}}}"
    if isinstance(value, list | tuple):
        items = [_text(item, random) for item in value]
        return f"[{space}{f'{space},'.join(items)}{space}]"
    return f"{space}{json.dumps(value)}{space}"


def _character(character: str, random: Random) -> str:
    code = ord(character)
    must = code < 0x20 or character in '"\\'
    if not must and random.random() < 0.8:
        return character
    if character in _SHORT_ESCAPES and random.random() < 0.5:
        return _SHORT_ESCAPES[character]
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02X}" for at in range(0, len(units), 2))
