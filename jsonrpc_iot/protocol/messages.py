"""The messages of the protocol as msgspec Structs, and the rules of their envelope.

Source: the RPC protocol document, "数据格式", and JSON-RPC 2.0; the corner cases are those of the
project's protocol page, section 1. Bytes are the business of `codec`.
"""

from typing import Any, Literal, TypeAlias

from msgspec import UNSET, Raw, Struct, UnsetType

from ..errors import RpcError

Dialect: TypeAlias = Literal["iot", "jsonrpc2"]
CodecName: TypeAlias = Literal["json", "msgpack"]

Id: TypeAlias = int | float | str | None
"""The id of a request as the application sees it."""

WireId: TypeAlias = Id | Raw
"""The id as it is echoed: a number that Python would spell differently stays raw."""

ExactId: TypeAlias = tuple[type, object]
"""Something to find an id by: as on the wire, and unlike in Python, `1` and `1.0` differ."""

ABSENT = Raw()
"""Stands for a member that is not there; compare with `is`."""


def exact(id: WireId | UnsetType) -> ExactId:
    """What an id is found by in a table, and is compared by."""
    return type(id), id


class Message(Struct, frozen=True, gc=False):
    """The envelope of a request, notification or response. Params, result and error stay raw.

    `traceparent` does too, as a wrong one is no error. `timeout` is in seconds. `jsonrpc` is set in
    the JSON-RPC 2.0 dialect only.
    """

    method: str | UnsetType = UNSET
    id: Id | UnsetType = UNSET
    params: Raw = ABSENT
    jsonrpc: Literal["2.0"] | UnsetType = UNSET
    result: Raw = ABSENT
    error: Raw = ABSENT
    timeout: float | UnsetType = UNSET
    stream: bool = False
    retry: bool | UnsetType = UNSET
    traceparent: Raw = ABSENT

    @property
    def is_extended(self) -> bool:
        """Whether it has a member that only the protocol's extensions know.

        A `traceparent` is known elsewhere too.
        """
        return self.timeout is not UNSET or self.stream or self.retry is not UNSET


class Invalid(Struct, frozen=True):
    """What arrived instead of a valid message.

    Args:
        error: what to answer.
        id: the id to answer with, `None` when it cannot be read.
        jsonrpc: the member of that name for the answer: of JSON-RPC 2.0 when the dialect cannot be
            read, since IoT ends ignore it.
        silent: the message is never answered: a broken notification, or an error in another format.
        response: the message has no method, so it may be meant as a response.
        has_outcome: it has a result or an error.
    """

    error: RpcError
    id: WireId = None
    jsonrpc: Literal["2.0"] | UnsetType = "2.0"
    silent: bool = False
    response: bool = False
    has_outcome: bool = False


class ErrorObject(Struct, frozen=True, omit_defaults=True):
    """The `error` member of a response."""

    code: int
    message: str
    data: Any = None


class Request(Struct, frozen=True, omit_defaults=True, gc=False):
    """A request, or without `id` a notification, on its way out."""

    method: str
    jsonrpc: Literal["2.0"] | UnsetType = UNSET
    id: int | UnsetType = UNSET
    params: Any = UNSET
    timeout: float | UnsetType = UNSET
    stream: bool = False
    traceparent: str | UnsetType = UNSET
    retry: bool | UnsetType = UNSET


class Result(Struct, frozen=True, gc=False):
    """A successful response in the IoT dialect."""

    id: WireId
    result: Any


class Result2(Struct, frozen=True, gc=False):
    """A successful response in the JSON-RPC 2.0 dialect."""

    jsonrpc: Literal["2.0"]
    id: WireId
    result: Any


class Failure(Struct, frozen=True, gc=False):
    """An error response in either dialect."""

    jsonrpc: Literal["2.0"] | UnsetType
    id: WireId
    error: ErrorObject
