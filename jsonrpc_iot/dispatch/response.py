"""What becomes of a call's outcome: a response that the caller can read and the channel carries."""

import logging
import traceback
from typing import Any

import msgspec
from msgspec import Struct, UnsetType

from ..errors import InternalError, MethodNotFound, RpcError, TooLarge, Unencodable
from ..protocol.about import about
from ..protocol.codec.codec import Codec, Jsonrpc
from ..protocol.messages import WireId
from .declare.context import Context

logger = logging.getLogger("jsonrpc_iot.dispatcher")

NOT_RECEIVED = MethodNotFound()
"""Ends a notification that no function is registered for, and which others may have heard."""


class ReplyTo(Struct, frozen=True):
    """Where a response goes.

    Args:
        id: as it is echoed; `UNSET` for a notification, which gets no response.
        jsonrpc: the member of that name in the request.
        limit: bytes that the channel carries, `None` for any number.
        sender: who asked, for the log.
    """

    id: WireId | UnsetType
    jsonrpc: Jsonrpc
    limit: int | None
    sender: Context | None = None


class Replier:
    """Turns results and exceptions into responses.

    Args:
        codec: writes the bytes.
        debug: tell callers the text and traceback of unforeseen exceptions.

    Attributes:
        codec: as above.
        dropped: responses that did not fit their channel even as a bare error.
        code: that of the last error; who counts them sets it back to `None`.
    """

    def __init__(self, codec: Codec, *, debug: bool) -> None:
        self.codec = codec
        self._debug = debug
        self.dropped = 0
        self.code: int | None = None

    def result(
        self, to: ReplyTo, method: str, value: Any, *, may_hold_nan: bool, kind: Any = Any
    ) -> bytes | None:
        """The response that carries a result, or the error that takes its place.

        Args:
            to: where it goes.
            method: the name that was called.
            value: the result.
            may_hold_nan: whether there may be a float in it.
            kind: its declared type, which is checked for debugging.
        """
        if isinstance(to.id, UnsetType):
            return None
        if self._debug and kind is not Any and (problem := _misfit(value, kind)):
            return self.error(to, method, TypeError(problem))
        try:
            reply = self.codec.encode_result(to.id, value, to.jsonrpc, may_hold_nan=may_hold_nan)
        except Unencodable as error:
            return self.error(to, method, error)
        if to.limit is None or len(reply) <= to.limit:
            return reply
        return self.too_large(to, len(reply))

    def too_large(self, to: ReplyTo, size: int) -> bytes | None:
        """The error that takes the place of a response of `size` bytes."""
        return self.error(to, "", TooLarge(data={"size": size, "limit": to.limit}))

    def shorter(self, to: ReplyTo, reply: bytes) -> bytes | None:
        """A shorter response in the place of one, `None` where there is none.

        An error loses its data, then its message; a result becomes the error that it is too large.
        """
        assert not isinstance(to.id, UnsetType)
        held = self.codec.decode_value(reply, _Reply).error
        if held is None:
            shorter = self.too_large(to, len(reply))
        else:
            error = RpcError(held.code, held.message)
            shorter = self.codec.encode_error(to.id, error, to.jsonrpc, len(reply) - 1)
        return shorter if shorter is not None and len(shorter) < len(reply) else None

    def error(self, to: ReplyTo, method: str, error: Exception) -> bytes | None:
        """The response that an exception becomes; what nobody foresaw goes to the log."""
        problem = error.problem if isinstance(error, RpcError) else _text(error)
        if problem is not None:
            extra = about(method=method) if to.sender is None else to.sender._about(method)
            logger.error("method %r failed: %s", method, problem, exc_info=error, extra=extra)
            error = InternalError(data=_describe(error) if self._debug else None)
        assert isinstance(error, RpcError)
        self.code = error.code
        if isinstance(to.id, UnsetType):
            extra = about(method=method) if to.sender is None else to.sender._about(method)
            outcome = "no function is registered for it" if error is NOT_RECEIVED else error
            logger.debug("notification %r: %s", method, outcome, extra=extra)
            return None
        reply = self.codec.encode_error(to.id, error, to.jsonrpc, to.limit)
        if reply is None:
            self.dropped += 1
        return reply


class _Failure(Struct):
    code: int
    message: str


class _Reply(Struct):
    """What stays of a response of ours that is to be shorter."""

    error: _Failure | None = None


def _misfit(value: Any, kind: Any) -> str | None:
    """Why a result is not of its declared type, as a client that decodes it would see."""
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=kind)
    except msgspec.ValidationError as error:
        return f"the result is not as declared: {error}"
    except (TypeError, ValueError, RecursionError, UnicodeError):
        return None  # it cannot be encoded, which is said elsewhere, or its type not decoded
    return None


def _describe(error: Exception) -> dict[str, str]:
    lines = traceback.format_exception(error)
    return {
        "type": type(error).__name__,
        "message": _text(error),
        "traceback": "".join(lines),
    }


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # the exception's own code runs
        return "<no text: its __str__ failed>"
