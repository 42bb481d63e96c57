"""Cases about what a device may have beyond the source: methods under `rpc.`, and extensions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import rules
from .case import Case, Check
from .device import Device, Given
from .replies import INVALID_REQUEST, OUTCOME_UNKNOWN, fail, ok


def about(device: Device) -> Iterator[Case]:
    """Methods under `rpc.`."""
    table: list[tuple[str, bool, str, Check]] = [
        ("rpc.ping", device.pings, rules.PING, _is_true),
        (
            "rpc.methods",
            device.names is not None,
            rules.METHODS,
            _are_names,
        ),
        (
            "rpc.discover",
            device.document is not None,
            rules.DISCOVER,
            _is_document,
        ),
    ]
    for name, is_there, rule, check in table:
        n = next(device.ids)
        yield Case(
            name=name,
            rule=rule,
            sent=(device.request(n, Given(name)),),
            expect=(ok(n, v2=None),),
            check=check,
            profile="full",
            inapplicable=""
            if is_there
            else "the device does not have it, or its answer does not fit",
        )


def _is_true(values: Sequence[object]) -> str:
    return "" if _result(values) is True else "the result is not true"


def _are_names(values: Sequence[object]) -> str:
    names = _result(values)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return "the result is no array of texts"
    return "" if names == sorted(set(names)) else "the names are not sorted, or one is there twice"


def _is_document(values: Sequence[object]) -> str:
    document = _result(values)
    if not isinstance(document, dict) or not isinstance(document.get("openrpc"), str):
        return 'the result has no member "openrpc" that is a text'
    methods = document.get("methods")
    if not isinstance(methods, list):
        return 'the result has no member "methods" that is an array'
    named = all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in methods)
    return "" if named else "a method has no name"


def _result(values: Sequence[object]) -> Any:
    answer = values[0] if len(values) == 1 else None
    return answer.get("result") if isinstance(answer, Mapping) else None


def extensions(device: Device) -> Iterator[Case]:
    """Members and notifications that only some devices know."""
    for case in _extensions(device):
        if device.pings:
            yield case
        else:
            reason = "the device does not answer rpc.ping with true, so it knows none"
            yield Case(name=case.name, rule=case.rule, profile="full", inapplicable=reason)


def _extensions(device: Device) -> Iterator[Case]:
    unknown = () if device.info.reliable else (OUTCOME_UNKNOWN,)
    for member in (
        '"timeout":30',
        '"timeout":1.5',
        '"retry":false',
        '"retry":true',
        '"stream":false',
    ):
        n = next(device.ids)
        yield Case(
            name=f"a request with {member}",
            rule=rules.EXTENSIONS,
            sent=(device.request(n, more=f"{member},"),),
            expect=(device.answered(n, v2=None),),
            also=tuple((fail(n, code, v2=None),) for code in unknown),
            profile="full",
        )
    for value in ("0", "-1", '"5"', "null", "true"):
        n = next(device.ids)
        yield Case(
            name=f"a timeout of {value}",
            rule=rules.BAD_TIMEOUT,
            sent=(device.request(n, more=f'"timeout":{value},'),),
            expect=(fail(n, INVALID_REQUEST, v2=None),),
            profile="full",
        )
    n = next(device.ids)
    for name, params in {
        "rpc.cancel": f'{{"id":{n}}}',
        "rpc.item": f'{{"id":{n},"seq":0,"item":1}}',
        "rpc.more": f'{{"id":{n},"upto":8}}',
    }.items():
        yield Case(
            name=f"{name} of no call",
            rule=rules.CANCEL if name == "rpc.cancel" else rules.SILENT,
            sent=(device.notification(Given(name, params)),),
            profile="full",
        )
    if device.names is not None and device.info.can_call_back:
        n = next(device.ids)
        credit = Given("rpc.more", f'{{"id":{n},"upto":{len(device.names) + 1}}}')
        yield Case(
            name="a stream",
            rule=rules.COUNT,
            sent=(
                device.request(n, Given("rpc.methods"), '"stream":true,'),
                device.notification(credit),
            ),
            expect=(ok(n, v2=None),),
            check=_is_count,
            profile="full",
        )


def _is_count(values: Sequence[object]) -> str:
    result = _result(values)
    if isinstance(result, list):
        return ""  # a device may answer whole
    count = result.get("count") if isinstance(result, dict) else None
    return "" if isinstance(count, int) else 'the result has no member "count" that is an integer'
