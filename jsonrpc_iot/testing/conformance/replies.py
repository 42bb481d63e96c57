"""How replies are held against what the protocol demands.

They are read with the standard library's parser, made strict, so that nothing of the package's own
reading judges them.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
TOO_LARGE: Final = -32001
DEADLINE_EXCEEDED: Final = -32002
CANCELLED: Final = -32003
BUSY: Final = -32004
UNAUTHORIZED: Final = -32005
FORBIDDEN: Final = -32006
OUTCOME_UNKNOWN: Final = -32011


NO_JSON: Final = math.nan
"""In place of a value: no JSON value is like it."""


@dataclass(frozen=True)
class Open:
    """A value that the protocol leaves open."""


ANYTHING: Final = Open()


@dataclass(frozen=True)
class Reply:
    """One response object.

    Args:
        id: the id that it carries, compared by type and value.
        result: the result, or `ANYTHING`.
        code: the error code; `None` for a success.
        message: the error message where the protocol fixes it.
        data: the error data where the protocol fixes it; `None` means that it is absent or null.
        mentions: texts that the error data names.
        dialect: whether it carries `"jsonrpc":"2.0"`; `None` where the protocol leaves it open.
    """

    id: object
    result: object = ANYTHING
    code: int | None = None
    message: str | None = None
    data: object = ANYTHING
    mentions: tuple[str, ...] = ()
    dialect: bool | None = False

    def faults(self, got: object) -> list[str]:
        """Everything in which the received JSON value differs from this reply."""
        if got is NO_JSON:
            return ["no JSON came"]
        if not isinstance(got, dict):
            return [f"not an object: {got!r:.80}"]
        outcome = "result" if self.code is None else "error"
        found = []
        if set(got) - {"jsonrpc"} != {"id", outcome}:
            found.append(f"members {sorted(got)}, not {sorted(('id', outcome))}")
        if "id" not in got or not same(self.id, got["id"]):
            found.append(f"id {got.get('id')!r:.80}, not {self.id!r:.80}")
        if "jsonrpc" in got and got["jsonrpc"] != "2.0":
            found.append(f"jsonrpc {got['jsonrpc']!r}")
        if self.dialect is not None and ("jsonrpc" in got) != self.dialect:
            found.append('"jsonrpc" is ' + ("missing" if self.dialect else "there"))
        if outcome not in got:
            return found
        if self.code is None:
            if self.result is not ANYTHING and not same(self.result, got["result"]):
                found.append(f"result {got['result']!r:.200}, not {self.result!r:.200}")
            return found
        return found + self._error_faults(got["error"])

    def _error_faults(self, error: object) -> list[str]:
        if not isinstance(error, dict):
            return [f"error {error!r}"]
        found = []
        if not {"code", "message"} <= set(error) <= {"code", "message", "data"}:
            found.append(f"error members {sorted(error)}")
        if not same(self.code, error.get("code")):
            found.append(f"code {error.get('code')!r}, not {self.code}")
        if not isinstance(error.get("message"), str):
            found.append(f"message {error.get('message')!r}")
        if self.message is not None and error.get("message") != self.message:
            found.append(f"message {error.get('message')!r}, not {self.message!r}")
        data = error.get("data")
        if self.data is not ANYTHING and not same(self.data, data):
            found.append(f"data {data!r}, not {self.data!r}")
        text = json.dumps(data, ensure_ascii=False)
        found += [
            f"data {text} does not name {word!r}" for word in self.mentions if word not in text
        ]
        return found


Message = Reply | tuple[Reply, ...]
"""One message back: a single reply, or a batch of them in any order."""


def ok(id: object, result: object = ANYTHING, *, v2: bool | None = False) -> Reply:
    """A success."""
    return Reply(id, result, dialect=v2)


def fail(
    id: object,
    code: int,
    *mentions: str,
    v2: bool | None = False,
    message: str | None = None,
    data: object = ANYTHING,
) -> Reply:
    """An error response, `mentions` being texts that its data names."""
    return Reply(id, code=code, mentions=mentions, dialect=v2, message=message, data=data)


UNPARSED: Final = fail(None, PARSE_ERROR, v2=True)
"""The answer to what is no JSON."""
NOT_AN_OBJECT: Final = fail(None, INVALID_REQUEST, v2=True)
"""The answer to JSON that is no message: a scalar, `[]`, a batch that is too long."""
UNPARSED_AFTER_IOT: Final = fail(None, PARSE_ERROR, v2=None)
NOT_AN_OBJECT_AFTER_IOT: Final = fail(None, INVALID_REQUEST, v2=None)
"""The same after a valid message of the IoT dialect, when either dialect will do."""
NO_ID: Final = fail(None, INVALID_REQUEST, v2=None)
"""The answer to an invalid object without a readable id and without `"jsonrpc":"2.0"`."""

NO_ROOM: Final = tuple(
    (fail(None, code, v2=None),) for code in (INVALID_REQUEST, PARSE_ERROR, TOO_LARGE)
)
"""How a small device may answer what has more levels, digits or bytes of an id than it can hold."""


def strict_json(data: bytes) -> object:
    """The value of a message; raises `ValueError` for anything that strict JSON forbids."""
    text = data.decode("utf-8")
    value: object = json.loads(text, parse_constant=_refuse, object_pairs_hook=_unique)
    json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate fails here
    return value


def same(a: object, b: object) -> bool:
    """Equality of JSON values that tells `1` from `true`, and integers from their doubles."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, int) and not isinstance(b, bool):
        return a == b  # 1e2 may come back as 100
    return type(a) is type(b) and a == b


def message_faults(expect: Sequence[Message], values: Sequence[object]) -> list[str]:
    """Why no pairing of received values with the demanded messages works; empty when one does."""
    if len(expect) != len(values):
        return [f"{len(values)} messages, not {len(expect)}"]
    left = list(values)
    for message in expect:
        tried: list[list[str]] = []
        for index, value in enumerate(left):
            tried.append(_single_faults(message, value))
            if not tried[-1]:
                del left[index]
                break
        else:
            return min(tried, key=len)
    return []


def _single_faults(message: Message, value: object) -> list[str]:
    if isinstance(message, Reply):
        return message.faults(value)
    if not isinstance(value, list):
        return ["not an array"]
    return message_faults(message, value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError(f"duplicate members in {pairs!r}")
    return members


_LONGEST_PAUSE = 31.0  # as long as requests are remembered, and a little more


def busy_seconds(values: Sequence[object]) -> float | None:
    """How long a device that says that it is busy wants to be left alone; `None` for others."""
    for value in values:
        error = value.get("error") if isinstance(value, dict) else None
        if isinstance(error, dict) and error.get("code") == BUSY:
            data = error.get("data")
            pause = data.get("retry_after") if isinstance(data, dict) else None
            seconds = pause if isinstance(pause, int | float) and pause > 0 else 1.0
            return min(seconds, _LONGEST_PAUSE)
    return None
