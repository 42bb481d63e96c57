"""What there is to ask a device, found out before anything is checked."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final

import anyio
from msgspec import Struct, field

from ...channel.info import ChannelInfo
from ...errors import ConnectFailed
from .line import Line, value_of
from .model import Profile
from .replies import (
    ANYTHING,
    FORBIDDEN,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    TOO_LARGE,
    UNAUTHORIZED,
    Reply,
    busy_seconds,
    fail,
    ok,
)

UNKNOWN: Final = "no.such.method"
"""A method that no device has."""

_MOST_ASKED = 16
_MOST_READ = 8
_IDS = (1 << 20, 1 << 29)  # begin between: no run uses those of the run before


class Given(Struct, frozen=True):
    """A method that may be called.

    Args:
        name: of the method.
        params: as JSON text; `""` for none.
    """

    name: str
    params: str = ""


class Device(Struct, kw_only=True):
    """A device under test.

    Args:
        info: the facts about the connection.
        profile: what it is held against.
        given: methods that somebody gave to be called.
        is_v2: it wants `"jsonrpc":"2.0"`.
        base: the call of most cases.
        code: of the error that this is answered with; `None` for a result.
        missing: the code of the error that answers for a method that is not there; who may call
            nothing need not be told that.
        names: of its methods, as far as it says.
        document: its document, if it comes whole.
        entries: of its document, by method.
        pings: it answers `rpc.ping` with `true`, so it knows the extensions.
        heard: what has come last that answers nothing.
        ids: for requests, each one once.
    """

    info: ChannelInfo
    profile: Profile
    given: Sequence[Given] = ()
    is_v2: bool = False
    base: Given = Given(UNKNOWN)
    code: int | None = METHOD_NOT_FOUND
    missing: int = METHOD_NOT_FOUND
    names: list[str] | None = None
    document: Mapping[str, Any] | None = None
    entries: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    pings: bool = False
    heard: bytes = b""
    ids: Iterator[int] = field(default_factory=lambda: count(random.randrange(*_IDS)))

    def request(
        self, id: object, call: Given | None = None, more: str = "", *, v2: bool | None = None
    ) -> bytes:
        """A request.

        Args:
            id: its id; a text is JSON already.
            call: what it calls; the base call by default.
            more: further members, as JSON text that ends in a comma.
            v2: whether it is of JSON-RPC 2.0; by default as the device speaks.
        """
        return self._message(f'"id":{id},', call or self.base, more, v2)

    def notification(self, call: Given | None = None, more: str = "") -> bytes:
        """The same without an id."""
        return self._message("", call or self.base, more, None)

    def _message(self, id: str, call: Given, more: str, v2: bool | None) -> bytes:
        version = '"jsonrpc":"2.0",' if (self.is_v2 if v2 is None else v2) else ""
        params = f',"params":{call.params}' if call.params else ""
        return f'{{{version}{id}{more}"method":{json.dumps(call.name)}{params}}}'.encode()

    def of_members(self, members: str) -> bytes:
        """An object of these members, and of the dialect."""
        version = '"jsonrpc":"2.0",' if self.is_v2 else ""
        return f"{{{version}{members}}}".encode()

    def answered(self, id: object, *, v2: bool | None = None) -> Reply:
        """How the base call is answered."""
        return ok(id, ANYTHING, v2=v2) if self.code is None else fail(id, self.code, v2=v2)

    def not_there(self, id: object) -> Reply:
        """How a method that is not there is answered."""
        return fail(id, self.missing, v2=None)

    @property
    def reading(self) -> list[Given]:
        """A few methods that say that they only read, that need no params, and that end."""
        found = [
            Given(name)
            for name, entry in self.entries.items()
            if entry.get("x-effect") == "read"
            and not entry.get("x-stream")
            and not any(param.get("required") for param in params_of(entry))
        ]
        return found[:_MOST_READ]

    @property
    def is_loose(self) -> bool:
        """Whether what JSON-RPC 2.0 leaves open is left open to it, which speaks nothing else."""
        return self.is_v2 and self.profile != "full"

    @property
    def is_http(self) -> bool:
        """Whether each message is a request of its own."""
        return self.info.transport in ("http", "https")

    @property
    def is_stream(self) -> bool:
        """Whether messages are cut out of a stream."""
        return self.info.transport in ("tcp", "tls", "pipe", "unix")


def params_of(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The params that an entry of a document describes."""
    params = entry.get("params")
    return [each for each in params if isinstance(each, dict)] if isinstance(params, list) else []


async def get_to_know(
    line: Line, profile: Profile, given: Sequence[Given], timeout: float
) -> Device:
    """Find out how the device speaks and what may be called there.

    Args:
        line: connected to it.
        profile: what it is to be held against.
        given: methods that may be called.
        timeout: seconds for each answer.

    Raises:
        ConnectFailed: it does not answer anything.
        LineEnded: the connection has ended.
    """
    device = Device(info=line.info, profile=profile, given=given)
    pinged = await _ask(line, device, Given("rpc.ping"), timeout)
    if pinged is None or _code(pinged) == INVALID_REQUEST or _is_of_1_0(pinged):
        device.is_v2 = True
        pinged = await _ask(line, device, Given("rpc.ping"), timeout) or pinged
    first = await _ask(line, device, given[0], timeout) if given else None
    if pinged is None and first is None:
        heard = device.heard[:_SHOWN].decode(errors="replace")
        what = f"; what came is no answer: {heard}" if heard else ""
        raise ConnectFailed(f"{line.url}: nobody answers within {timeout:g} s{what}")
    device.pings = pinged is not None and pinged.get("result") is True
    missing = _code(await _ask(line, device, Given(UNKNOWN), timeout) or {})
    if missing in (UNAUTHORIZED, FORBIDDEN):
        device.code = device.missing = missing
    await _ask_about(line, device, timeout)
    if first is not None:
        device.base, device.code = given[0], _code(first)
    elif device.pings:
        device.base, device.code = Given("rpc.ping"), None
    elif device.reading:
        base = device.reading[0]
        answer = await _ask(line, device, base, timeout)
        if answer is not None:
            device.base, device.code = base, _code(answer)
    return device


async def _ask_about(line: Line, device: Device, timeout: float) -> None:
    """Ask for the methods' names and the document, in pieces where that is too large."""
    answer = await _ask(line, device, Given("rpc.methods"), timeout)
    names = (answer or {}).get("result")
    if isinstance(names, list):
        device.names = [name for name in names if isinstance(name, str)]
    answer = await _ask(line, device, Given("rpc.discover"), timeout)
    document = (answer or {}).get("result")
    if isinstance(document, dict):
        device.document = document
        device.entries = _entries(document)
    elif answer is not None and _code(answer) == TOO_LARGE:
        for name in (device.names or [])[:_MOST_ASKED]:
            params = json.dumps({"method": name})
            answer = await _ask(line, device, Given("rpc.discover", params), timeout)
            document = (answer or {}).get("result")
            if isinstance(document, dict):
                device.entries |= _entries(document)


def _entries(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    methods = document.get("methods")
    entries = (
        [each for each in methods if isinstance(each, dict)] if isinstance(methods, list) else []
    )
    return {entry["name"]: entry for entry in entries if isinstance(entry.get("name"), str)}


_TRIES = 2
_SHOWN = 80  # bytes of what is no answer


async def _ask(line: Line, device: Device, call: Given, timeout: float) -> dict[str, Any] | None:
    """The answer to a call, whatever it looks like; `None` if none comes."""
    answer = None
    for _ in range(_TRIES):
        id = next(device.ids)
        await line.send(device.request(id, call))
        while (message := await line.receive(timeout)) is not None:
            value = value_of(message)
            if isinstance(value, dict) and value.get("id") in (id, str(id), None):
                answer = value
                break
            device.heard = message
        if (pause := busy_seconds([answer])) is not None:
            await anyio.sleep(pause)
        elif answer is not None or device.info.reliable:
            break
    return answer


def _is_of_1_0(answer: Mapping[str, Any]) -> bool:
    """Whether it is for a caller of JSON-RPC 1.0, whose messages have no version either."""
    return "result" in answer and "error" in answer


def _code(answer: Mapping[str, Any]) -> int | None:
    error = answer.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) else None
