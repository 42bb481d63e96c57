"""The common request in one pass of msgspec: envelope, method look-up and params together.

Each handler has a Struct of the whole request, tagged with the method's name; their union is one
decoder, which finds the method and checks the params in C. A request that is in any way special
fits none of them, and is left to the way that explains.
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar, Literal, Protocol, Union, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ..protocol.codec.codec import Codec
from .table import Entry

Never = Annotated[str, Meta(min_length=1, max_length=0)]


class PlainRequest(Protocol):
    """A request that one pass has decoded and found to be in order."""

    entry: ClassVar[Entry]
    id: int | str
    params: Struct
    jsonrpc: Literal["2.0"] | UnsetType
    timeout: float | UnsetType


class _Envelope(Struct, frozen=True, kw_only=True, gc=False):
    """What a plain request may have besides method and params, and what it may not have."""

    id: Annotated[int, Meta(ge=1)] | str
    jsonrpc: Literal["2.0"] | UnsetType = UNSET
    timeout: Annotated[float, Meta(gt=0)] | UnsetType = UNSET
    result: Never | UnsetType = UNSET
    error: Never | UnsetType = UNSET
    stream: Never | UnsetType = UNSET
    retry: Never | UnsetType = UNSET


def plain_decoder(entries: Iterable[Entry], codec: Codec) -> Callable[[bytes], PlainRequest]:
    """A decoder for plain requests to these entries; what is not plain raises `DecodeError`."""
    requests = tuple(map(_request_type, entries))
    if len(requests) < 2:  # msgspec takes a lone Struct without its tag too
        return _refuse
    kind: Any = Union[requests]  # noqa: UP007  # made at run time
    return cast(Callable[[bytes], PlainRequest], codec.decoder(kind))


def _request_type(entry: Entry) -> type[Struct]:
    handler = entry.handler
    params: tuple[Any, ...] = ("params", handler.params)
    if handler.params_optional:
        params += (msgspec.field(default_factory=handler.params),)
    return msgspec.defstruct(
        f"Request of {entry.name}",
        [cast(tuple[str, type, Any], params)],
        bases=(_Envelope,),
        namespace={"entry": entry},
        tag_field="method",
        tag=entry.name,
        frozen=True,
        kw_only=True,
        gc=False,
    )


def _refuse(data: bytes) -> PlainRequest:
    raise msgspec.DecodeError("too few handlers to tell apart")
