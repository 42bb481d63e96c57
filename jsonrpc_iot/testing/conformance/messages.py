"""Cases about single messages: answers, ids, the envelope, notifications, members, calls."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import rules
from .case import Case
from .corners import (
    BAD_PARAMS,
    BAD_VERSIONS,
    MISSING_OR_BAD_METHODS,
    READABLE_IDS,
    REFUSED_IDS,
    SHORT_ID,
)
from .device import UNKNOWN, Device, Given, params_of
from .model import Profile
from .replies import INVALID_PARAMS, INVALID_REQUEST, NO_ID, NO_ROOM, Reply, ok, same
from .replies import fail as refused

_MINIMAL_IDS = {"one", "text-one"}
_STANDARD_IDS = {"null", "zero", "empty", "minus-one", "above-double", "int64-max", "uuid"}
_STANDARD_IDS |= {"escapes", "unicode"}
_STANDARD_BAD_IDS = {"true", "array", "object"}


def answers(device: Device) -> Iterator[Case]:
    """It answers at all, and errors look like errors."""
    n = next(device.ids)
    yield Case(
        name="a call is answered",
        rule=rules.ANSWERED,
        sent=(device.request(n),),
        expect=(device.answered(n, v2=None),),
        profile="minimal",
    )
    n = next(device.ids)
    yield Case(
        name="an unknown method is an error",
        rule=rules.NOT_THERE,
        sent=(device.request(n, Given(UNKNOWN)),),
        expect=(device.not_there(n),),
        profile="minimal",
    )
    n = next(device.ids)
    yield Case(
        name="an undefined method under rpc.",
        rule=rules.NOT_THERE,
        sent=(device.request(n, Given("rpc.no_such")),),
        expect=(device.not_there(n),),
    )
    for name, v2 in (("without jsonrpc", False), ("with jsonrpc 2.0", True)):
        n = next(device.ids)
        yield Case(
            name=f"a message {name} is answered in kind",
            rule=rules.DIALECT,
            sent=(device.request(n, v2=v2),),
            expect=(device.answered(n, v2=v2),),
            profile="full" if v2 != device.is_v2 else "standard",
        )


def ids(device: Device) -> Iterator[Case]:
    """Ids of every kind."""
    for name, text, value in READABLE_IDS:
        profile: Profile = "standard" if name in _STANDARD_IDS else "full"
        yield Case(
            name=name,
            rule=rules.ID,
            sent=(device.request(text),),
            expect=(device.answered(value, v2=None),),
            also=NO_ROOM if len(text) > SHORT_ID else (),
            profile="minimal" if name in _MINIMAL_IDS else profile,
        )
    for name, text in REFUSED_IDS:
        yield Case(
            name=f"refused: {name}",
            rule=rules.BAD_ID,
            sent=(device.request(text),),
            expect=(NO_ID,),
            profile="standard" if name in _STANDARD_BAD_IDS else "full",
        )


def envelope(device: Device) -> Iterator[Case]:
    """Objects that are no messages."""
    for name, member in MISSING_OR_BAD_METHODS:
        n = next(device.ids)
        yield Case(
            name=f"method {name}",
            rule=rules.INVALID,
            sent=(device.of_members(f'{member}"id":{n}'),),
            expect=(refused(n, INVALID_REQUEST, v2=None),),
            also=((NO_ID,),) if device.is_loose else (),
            profile="standard" if name in ("absent", "number") else "full",
        )
    for params in BAD_PARAMS:
        n = next(device.ids)
        yield Case(
            name=f"params {params}",
            rule=rules.BAD_PARAMS,
            sent=(device.request(n, Given(device.base.name, params)),),
            expect=(refused(n, INVALID_REQUEST, v2=None),),
            also=_bad_params(device, n),
            profile="standard" if params in ("5", '"x"') else "full",
        )
    for version in BAD_VERSIONS:
        n = next(device.ids)
        yield Case(
            name=f"jsonrpc {version}",
            rule=rules.VERSION,
            sent=(device.request(n, more=f'"jsonrpc":{version},', v2=False),),
            expect=(refused(n, INVALID_REQUEST, v2=None),),
            profile="full",
        )
    yield Case(
        name="an empty object",
        rule=rules.INVALID,
        sent=(b"{}",),
        expect=(NO_ID,),
    )
    n = next(device.ids)
    yield Case(
        name="a call that is a response as well",
        rule=rules.BOTH,
        sent=(device.request(n, more='"result":1,'),),
        expect=(refused(n, INVALID_REQUEST, v2=None),),
        profile="full",
    )
    yield from _keys(device)


def _bad_params(device: Device, n: int) -> tuple[tuple[Reply, ...], ...]:
    """Answers to params that are none, which only the profile `full` finds wrong."""
    if device.profile == "full":
        return ()
    params = (refused(n, INVALID_PARAMS, v2=None),)
    return (params, (NO_ID,)) if device.is_loose else (params,)


def _keys(device: Device) -> Iterator[Case]:
    """Keys that are there twice, or written with escapes."""
    for name, more in (("id", '"id":true,'), ("method", '"method":5,'), ("params", '"params":5,')):
        n = next(device.ids)
        call = device.base if device.base.params else Given(device.base.name, "[]")
        yield Case(
            name=f"{name} twice",
            rule=rules.TWICE,
            sent=(device.of_members(f'{more}"id":{n},{_members(call)}'),),
            expect=(device.answered(n, v2=None),),
            profile="full",
        )
    n = next(device.ids)
    escaped = device.request(n).replace(b'"method"', rb'"meth\u006fd"')
    yield Case(
        name="a key with escapes",
        rule=rules.ESCAPED,
        sent=(escaped,),
        expect=(device.answered(n, v2=None),),
        profile="full",
    )


def notifications(device: Device) -> Iterator[Case]:
    """What is never answered."""
    for name, message, profile in _silent(device):
        yield Case(
            name=name,
            rule=rules.STRAY if "response" in name else rules.SILENT,
            sent=(message,),
            check=_may_refuse if device.is_loose and name in _INVALID_IN_2_0 else None,
            profile=profile,
        )


_INVALID_IN_2_0 = {"with params 5", "a response to no call", "an error response to no call"}
"""To whom no message is but requests, they are invalid ones."""


def _may_refuse(values: Sequence[object]) -> str:
    """Whether nothing comes but an error that says that it is no request."""
    errors = [each.get("error") for each in values if isinstance(each, dict)]
    codes = [each.get("code") for each in errors if isinstance(each, dict)]
    others = len(values) - codes.count(INVALID_REQUEST)
    return f"{others} messages other than {INVALID_REQUEST}" if others else ""


def _silent(device: Device) -> Iterator[tuple[str, bytes, Profile]]:
    yield "of a method", device.notification(), "minimal"
    yield "of an unknown method", device.notification(Given(UNKNOWN)), "minimal"
    yield "of an unknown method with params", device.notification(Given(UNKNOWN, "[1]")), "standard"
    yield "with params 5", device.notification(Given(device.base.name, "5")), "standard"
    yield "of an empty name", device.notification(Given("")), "standard"
    yield "with a bad version", device.of_members('"jsonrpc":"1.0","method":"x"'), "full"
    yield "with a result", device.notification(Given(UNKNOWN), '"result":1,'), "full"
    yield "with a bad timeout", device.notification(Given(UNKNOWN), '"timeout":0,'), "full"
    n = next(device.ids)
    yield "a response to no call", device.of_members(f'"id":{n},"result":1'), "standard"
    error = '"error":{"code":-32600,"message":"m"}'
    yield "an error response to no call", device.of_members(f'"id":{n},{error}'), "standard"
    yield "an error response without a call", device.of_members(f'"id":null,{error}'), "full"


def members(device: Device) -> Iterator[Case]:
    """Members that nobody knows."""
    for value in ("1", "null", '"x"', '{"a":[1,{"b":null}]}', '"}]{["', "[[[]]]"):
        n = next(device.ids)
        yield Case(
            name=f"with the value {value}",
            rule=rules.MEMBERS,
            sent=(device.request(n, more=f'"x":{value},'),),
            expect=(device.answered(n, v2=None),),
        )
    n = next(device.ids)
    spaced = device.request(n).replace(b'"method":', b' \t"method" : ').replace(b"{", b"{ ", 1)
    yield Case(
        name="spaces between the members",
        rule=rules.BETWEEN,
        sent=(spaced,),
        expect=(device.answered(n, v2=None),),
    )
    for params in () if device.base.params else ("null", "[]", "{}"):
        n = next(device.ids)
        yield Case(
            name=f"params {params} where there need be none",
            rule=rules.NO_PARAMS,
            sent=(device.request(n, Given(device.base.name, params)),),
            expect=(device.answered(n, v2=None),),
            profile="full",
        )


def calls(device: Device) -> Iterator[Case]:
    """Methods that may be called, with params that they take and that they do not."""
    names = Counter(call.name for call in device.given)
    for number, call in enumerate(device.given, 1):
        n = next(device.ids)
        which = "" if names[call.name] == 1 else f" as number {number}"
        yield Case(
            name=f"{call.name} as it was given{which}",
            rule=rules.ANSWERED,
            sent=(device.request(n, call),),
            expect=(ok(n, v2=None),),
            check=lambda values, n=n: _unless_answer(values, n),  # type: ignore[misc]
            profile="minimal",
        )
    rule = rules.WRONG_PARAMS
    described = [name for name in device.entries if _may_call(device, name)]
    for name in names:
        if name not in described:
            reason = "the device does not describe its params"
            yield Case(name=f"wrong params for {name}", rule=rule, unverified=reason)
    for name in described:
        for kind, params in _wrong(device.entries[name]):
            n = next(device.ids)
            yield Case(
                name=f"{kind} for {name}",
                rule=rule,
                sent=(device.request(n, Given(name, params)),),
                expect=(refused(n, INVALID_PARAMS, v2=None),),
            )
    if not described and not device.given:
        reason = "no method is known that may be called: --method gives one"
        yield Case(name="calls", rule=rule, unverified=reason)


def _may_call(device: Device, name: str) -> bool:
    entry = device.entries[name]
    given = any(call.name == name for call in device.given)
    return given or (entry.get("x-effect") == "read" and not entry.get("x-requires"))


def _wrong(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Params that a described method does not take."""
    params = params_of(entry)
    known = {str(param.get("name")) for param in params}
    if "no_such" not in known:
        yield "an extra parameter", '{"no_such":1}'
    if any(param.get("required") for param in params):
        yield "a missing parameter", "{}"
    others = {"integer": '"x"', "number": '"x"', "boolean": '"x"', "string": "5", "array": "5"}
    for param in params:
        schema = param.get("schema")
        wanted = schema.get("type") if isinstance(schema, dict) else None
        if isinstance(wanted, str) and wanted in others and isinstance(param.get("name"), str):
            name = json.dumps(param["name"])
            yield f"a wrong type of {name}", f"{{{name}:{others[wanted]}}}"
            return


def _unless_answer(values: object, id: object) -> str:
    """Whether a call was answered, be it with an error of the application."""
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], dict):
        return "no answer, or several"
    answer = values[0]
    if not same(id, answer.get("id")):
        return f"id {answer.get('id')!r:.80}, not {id!r}"
    return "" if ("result" in answer) != ("error" in answer) else "neither result nor error"


def _members(call: Given) -> str:
    params = f',"params":{call.params}' if call.params else ""
    return f'"method":{json.dumps(call.name)}{params}'
