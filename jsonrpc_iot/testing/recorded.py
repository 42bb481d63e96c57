"""What a recording says of a device: how it answered, and what it emitted when."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ..errors import UsageError

_LONGEST_LINE = 64 << 20  # bytes
_SAME_PUSH_SECONDS = 1.0
_NOT_PLAYED = ("rpc.ping", "rpc.authenticate", "rpc.pair", "rpc.subscribe", "rpc.unsubscribe")

Direction = Literal["<-", "->"]


class Answer(Struct):
    """How one request was answered.

    Args:
        params: of the request, without secrets.
        result: of the response; of a stream, whatever ended it.
        error: the same of a response that was one.
        items: those of a stream, each with the seconds since the request.
    """

    params: Any
    result: Any = None
    error: dict[str, Any] | None = None
    items: list[tuple[float, Any]] | None = None


class Push(Struct, frozen=True):
    """A notification of the device.

    Args:
        time: seconds since the recording's first message.
        method: its name.
        params: its params, `None` for none.
    """

    time: float
    method: str
    params: Any


class Recorded(Struct):
    """What a device said while it was recorded.

    Args:
        answers: by method, in their order.
        pushes: in their order.
    """

    answers: dict[str, list[Answer]]
    pushes: list[Push]


class _Line(Struct):
    time: Annotated[float, Meta(ge=0)]
    url: str
    direction: Direction
    message: Any


class _Asked(Struct):
    """A request that has not been answered yet."""

    time: float
    method: str
    answer: Answer
    items: dict[int, tuple[float, Any]] | None


def read_recording(path: Path) -> Recorded:
    """Read what `record=` has written.

    On each link the device is the end that was asked first; where nobody asked for anything, the
    one that emitted first. What it asked for itself is left out.

    Raises:
        UsageError: the file cannot be read, or a line of it is broken; the text says which.
    """
    lines = list(_lines(path))
    by_url: dict[str, list[_Line]] = {}
    for line in lines:
        by_url.setdefault(line.url, []).append(line)
    recorded = Recorded({}, [])
    links = {url: _Link(_to_device(theirs), recorded) for url, theirs in by_url.items()}
    pushes: dict[bytes, _Heard] = {}
    for line in lines:
        for push in links[line.url].take(line):
            key = msgspec.json.encode((push.method, push.params))
            heard = pushes.get(key)
            if heard is None or not heard.is_by(line.url, push.time):
                pushes[key] = _Heard(push.time, {line.url})
                begin = lines[0].time
                recorded.pushes.append(Push(push.time - begin, push.method, push.params))
    return recorded


class _Heard(Struct):
    """A push, when it came first, and the links that it came by."""

    time: float
    urls: set[str]

    def is_by(self, url: str, time: float) -> bool:
        """Note that one more link brought it, if it may be the same."""
        if url in self.urls or time > self.time + _SAME_PUSH_SECONDS:
            return False
        self.urls.add(url)
        return True


def _lines(path: Path) -> Iterator[_Line]:
    last = 0.0
    try:
        with path.open("rb") as file:
            number = 0
            while text := file.readline(_LONGEST_LINE + 1):
                number += 1
                try:
                    line = _read_line(text, last)
                except ValueError as error:
                    raise UsageError(f"{path}:{number}: {error}") from None
                last = line.time
                yield line
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def _read_line(text: bytes, last: float) -> _Line:
    """One line; raises `ValueError` with the reason where it is none."""
    if len(text) > _LONGEST_LINE:
        raise ValueError(f"longer than {_LONGEST_LINE} bytes")
    try:
        line = msgspec.json.decode(text.decode(), type=_Line)
    except msgspec.ValidationError as error:
        raise ValueError(f"no line of a recording: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = "no JSON" if text.endswith(b"\n") else "cut off"
        raise ValueError(f"{what}: {error}") from None
    if not math.isfinite(line.time) or line.time < last:
        raise ValueError(f"the time {line.time:g} is not {last:g} or later")
    return line


def _to_device(lines: list[_Line]) -> Direction:
    """Which way leads to the device on a link."""
    for line in lines:
        if any("method" in each and "id" in each for each in _entries(line)):
            return line.direction
    for line in lines:
        if any("method" in each for each in _entries(line)):
            return "->" if line.direction == "<-" else "<-"
    return "->"


def _entries(line: _Line) -> Iterator[dict[str, Any]]:
    several = line.message if isinstance(line.message, list) else [line.message]
    return (each for each in several if isinstance(each, dict))


class _Link:
    """One link of a recording.

    Args:
        to_device: the direction of what the device was told.
        recorded: gets the answers.
    """

    def __init__(self, to_device: Direction, recorded: Recorded) -> None:
        self._to_device = to_device
        self._recorded = recorded
        self._open: dict[bytes, _Asked] = {}
        self._last: dict[bytes, Answer] = {}

    def take(self, line: _Line) -> Iterator[Push]:
        """Take a line; gives the notifications of the device in it."""
        for each in _entries(line):
            method, params = each.get("method"), each.get("params")
            is_named = isinstance(method, str)
            if line.direction == self._to_device:
                if is_named and "id" in each:
                    self._ask(line.time, each)
            elif method == "rpc.item" and isinstance(params, dict):
                self._item(line.time, params)
            elif is_named and "id" not in each and not str(method).startswith("rpc."):
                yield Push(line.time, str(method), params)
            elif not is_named and "id" in each:
                self._answer(each)

    def _ask(self, time: float, request: dict[str, Any]) -> None:
        key = msgspec.json.encode(request["id"])
        method, params = request["method"], request.get("params")
        before = self._open.get(key)
        is_repeat = before is not None and (before.method, before.answer.params) == (method, params)
        can_be_params = params is None or isinstance(params, dict | list)
        if can_be_params and method not in _NOT_PLAYED and not is_repeat:
            items: dict[int, tuple[float, Any]] | None = {} if request.get("stream") else None
            self._open[key] = _Asked(time, method, Answer(params), items)

    def _item(self, time: float, params: dict[str, Any]) -> None:
        asked = self._open.get(msgspec.json.encode(params.get("id")))
        seq = params.get("seq")
        if asked is not None and asked.items is not None and isinstance(seq, int):
            asked.items.setdefault(seq, (time - asked.time, params.get("item")))

    def _answer(self, response: dict[str, Any]) -> None:
        key = msgspec.json.encode(response["id"])
        asked = self._open.pop(key, None)
        if asked is None:
            return
        answer = asked.answer
        answer.result = response.get("result")
        error = response.get("error")
        if isinstance(error, dict):
            answer.error = error
        if asked.items or (asked.items is not None and answer.result == {"count": 0}):
            answer.items = [asked.items[seq] for seq in sorted(asked.items)]
        if self._last.get(key) != answer:  # else the request was sent again, and answered again
            self._recorded.answers.setdefault(asked.method, []).append(answer)
        self._last[key] = answer
