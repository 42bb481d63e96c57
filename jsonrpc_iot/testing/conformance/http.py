"""Cases about HTTP itself: statuses, headers, content types, events, and places of methods."""

import gzip
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus as Status
from urllib.parse import quote

from . import rules
from .answer import EVENTS, Answer
from .case import Case, Conversation
from .device import UNKNOWN, Device, Given
from .line import value_of
from .model import LineEnded, Profile, Unchecked
from .replies import INVALID_REQUEST, METHOD_NOT_FOUND, NO_JSON, PARSE_ERROR
from .talk import Talk

_JSON = {"content-type": "application/json"}
_TOO_LARGE = 1 << 50


def http(device: Device) -> Iterator[Case]:
    """What HTTP has beside messages."""
    if not device.is_http:
        yield Case(name="HTTP", rule=rules.POST, inapplicable="the link is not HTTP")
        return
    call = partial(device.request, next(device.ids))
    yield _post(
        "a request", rules.POST, call(), Status.OK, kind="application/json", profile="standard"
    )
    note = device.notification(Given(UNKNOWN))
    yield _post("a notification", rules.POST, note, Status.ACCEPTED, body=b"")
    stray = device.of_members('"id":1,"result":1')
    yield _post("a response", rules.POST, stray, Status.ACCEPTED, body=b"")
    yield _post("no JSON", rules.BAD_POST, b"{", Status.BAD_REQUEST, code=PARSE_ERROR)
    yield _post("no request", rules.BAD_POST, b"{}", Status.BAD_REQUEST, code=INVALID_REQUEST)
    yield _post("a batch of junk", rules.POST, b"[1]", Status.OK)
    for kind in (
        "application/json; charset=utf-8",
        "application/json-rpc",
        "application/jsonrequest",
        "Application/JSON",
    ):
        yield _post(f"content type {kind}", rules.STATUSES, call(), Status.OK, sends=kind)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/msgpack"):
        status = Status.UNSUPPORTED_MEDIA_TYPE
        yield _post(f"content type {kind}", rules.STATUSES, call(), status, sends=kind)
    yield _case("a packed body", rules.STATUSES, partial(_packed, gzip.compress(call())))
    yield _case("a body that is too large", rules.STATUSES, _announced)
    for verb in ("PUT", "DELETE"):
        yield _case(verb, rules.STATUSES, partial(_refused, verb))
    yield _case("a GET for something else", rules.STATUSES, _nothing_to_get)
    yield _case("a GET for events", rules.EVENTS, partial(_events, device.profile), "standard")
    yield _case("the document", rules.DOCUMENT, partial(_document, device))
    yield from _places(device)


def _case(name: str, rule: str, talk: Conversation, profile: Profile = "full") -> Case:
    return Case(name=name, rule=rule, talk=talk, profile=profile)


def _post(
    name: str,
    rule: str,
    message: bytes,
    status: int,
    *,
    sends: str = "application/json",
    kind: str = "",
    body: bytes | None = None,
    code: int | None = None,
    profile: Profile = "full",
) -> Case:
    """A POST, and what its answer has to be."""

    async def talk(talk: Talk) -> str:
        answer = await talk.ask("POST", headers={"content-type": sends}, body=message)
        got = answer.headers.get("content-type", "none")
        if answer.status != status:
            return _unlike(status, answer)
        if not got.lower().startswith(kind):
            return f"content type {got}, not {kind}"
        if body is not None and answer.body != body:
            return "there is a body"
        return "" if code is None else _not_error(answer, code)

    return _case(name, rule, talk, profile)


def _unlike(status: int, answer: Answer) -> str:
    return "" if answer.status == status else f"status {answer.status}, not {status}"


def _not_error(answer: Answer, code: int) -> str:
    value = value_of(answer.body)
    error = value.get("error") if isinstance(value, dict) else None
    got = error.get("code") if isinstance(error, dict) else None
    return "" if got == code else f"error code {got}, not {code}"


async def _packed(body: bytes, talk: Talk) -> str:
    answer = await talk.ask("POST", headers=_JSON | {"content-encoding": "gzip"}, body=body)
    return _unlike(Status.UNSUPPORTED_MEDIA_TYPE, answer)


async def _announced(talk: Talk) -> str:
    try:
        answer = await talk.announce(_TOO_LARGE)
    except LineEnded as error:
        return str(error)
    return _unlike(Status.REQUEST_ENTITY_TOO_LARGE, answer)


async def _refused(verb: str, talk: Talk) -> str:
    answer = await talk.ask(verb, headers=_JSON, body=b"{}")
    allowed = answer.headers.get("allow", "")
    why = _unlike(Status.METHOD_NOT_ALLOWED, answer)
    return why or ("" if "POST" in allowed.upper() else f"Allow {allowed!r} without POST")


async def _nothing_to_get(talk: Talk) -> str:
    return _unlike(Status.NOT_ACCEPTABLE, await talk.ask("GET", headers={"accept": "image/png"}))


async def _events(profile: Profile, talk: Talk) -> str:
    answer = await talk.ask("GET", headers={"accept": EVENTS})
    kind = answer.headers.get("content-type", "none")
    why = _unlike(Status.OK, answer) or ("" if kind.startswith(EVENTS) else f"content type {kind}")
    if why and profile != "full":
        raise Unchecked("not applicable", "the device has no events")
    return why


async def _document(device: Device, talk: Talk) -> str:
    if device.document is None:
        raise Unchecked("not applicable", "the device has no document")
    answer = await talk.ask("GET", "/openrpc.json")
    value = value_of(answer.body)
    has_it = isinstance(value, dict) and isinstance(value.get("openrpc"), str)
    return _unlike(Status.OK, answer) or ("" if has_it else "the body is no document")


def _places(device: Device) -> Iterator[Case]:
    """Methods that have places of their own."""
    reading = [call for call in device.reading if _has_place(call)]
    calls = {call.name: call for call in (*reading, *filter(_has_place, device.given))}
    for call in calls.values():
        yield _case(f"POST of {call.name}", rules.PLACES, partial(_called, call))
    for call in reading:
        yield _case(f"GET of {call.name}", rules.READING, partial(_read, call))
    name = "POST of a method that is not there"
    if device.missing == METHOD_NOT_FOUND:
        yield _case(name, rules.PLACES, _missing)
    else:
        reason = "the device does not say which methods there are"
        yield Case(name=name, rule=rules.PLACES, inapplicable=reason)


def _has_place(call: Given) -> bool:
    return "." in call.name


async def _called(call: Given, talk: Talk) -> str:
    body = (call.params or "{}").encode()
    answer = await talk.ask("POST", f"/{quote(call.name)}", headers=_JSON, body=body)
    return _not_alone(answer)


async def _read(call: Given, talk: Talk) -> str:
    return _not_alone(await talk.ask("GET", f"/{quote(call.name)}"))


_STATUSES = (Status.BAD_REQUEST, Status.UNAUTHORIZED, Status.FORBIDDEN, Status.NOT_FOUND)
_BY_STATUS = {*_STATUSES, Status.INTERNAL_SERVER_ERROR}


def _not_alone(answer: Answer) -> str:
    """What is wrong with an answer that should be the result, or the error, and nothing else."""
    value = value_of(answer.body)
    _need_places(answer, value)
    if answer.status == Status.OK:
        return "" if value is not NO_JSON else "the body is no JSON"
    why = "" if answer.status in _BY_STATUS else f"status {answer.status}"
    return why or ("" if _is_error(value) else "the body is no error object")


async def _missing(talk: Talk) -> str:
    answer = await talk.ask("POST", f"/{UNKNOWN}", headers=_JSON, body=b"{}")
    value = value_of(answer.body)
    _need_places(answer, value)
    why = _unlike(Status.NOT_FOUND, answer)
    is_it = _is_error(value) and value["code"] == METHOD_NOT_FOUND  # type: ignore[index]
    return why or ("" if is_it else "the body is no error object of -32601")


def _need_places(answer: Answer, value: object) -> None:
    """Who answers as to any message, or knows no such path, has no places."""
    missing = (Status.NOT_FOUND, Status.METHOD_NOT_ALLOWED, Status.NOT_IMPLEMENTED)
    if _is_reply(value) or (answer.status in missing and not _is_error(value)):
        raise Unchecked("not applicable", "methods have no places of their own there")


def _is_error(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("code"), int)


def _is_reply(value: object) -> bool:
    return isinstance(value, dict) and value.keys() - {"jsonrpc"} in ({"id", "result"}, _FAILED)


_FAILED = {"id", "error"}
