"""Every exception that this package raises on purpose.

JsonRpcIotError
├── RpcError                    an error response: sent by a handler, received by a caller
│   ├── ParseError              -32700
│   ├── InvalidRequest          -32600
│   ├── MethodNotFound          -32601
│   ├── InvalidParams           -32602
│   ├── InternalError           -32603
│   ├── ServerError             -32000
│   ├── TooLarge                -32001
│   ├── DeadlineExceeded        -32002
│   ├── Cancelled               -32003
│   ├── Busy                    -32004
│   ├── Unauthorized            -32005
│   ├── Forbidden               -32006
│   ├── DeviceOffline           -32010
│   └── OutcomeUnknown          -32011
├── MessageTooLarge             a message does not fit the channel; nothing was sent
├── CallTimeout                 no response within the caller's time (also a TimeoutError)
├── MalformedResponse           the other end answered, but not with a JSON-RPC response
├── UsageError                  the program asked for something impossible (also a ValueError)
│   ├── InvalidUrl              unknown scheme, option or value
│   ├── Unencodable             params or a result that the codec has no form for
│   ├── MissingExtra            an optional dependency is not installed
│   └── KeyringError            a keyring's file cannot be read, or says something wrong
└── TransportError              the link, not the message
    ├── BindFailed              a server cannot listen on its URL
    ├── ConnectFailed           a client cannot reach its URL
    │   └── ConnectTimeout      not within its time (also a TimeoutError)
    ├── ChannelClosed           the channel ended; a call's outcome is unknown
    ├── FramingError            the byte stream can no longer be cut into messages
    └── MalformedFrame          one frame arrived whole, but its data makes no sense
"""

from collections.abc import Mapping
from typing import Any, ClassVar, overload


class JsonRpcIotError(Exception):
    """Root of all errors of this package. They can be copied and pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args), self.__dict__


def _restore(cls: type[JsonRpcIotError], args: tuple[Any, ...]) -> JsonRpcIotError:
    """An error as it was, whatever its `__init__` takes."""
    return cls.__new__(cls, *args)


class RpcError(JsonRpcIotError):
    """An error response.

    Raise it in a handler to answer a request with an error; a caller gets it raised from the call.
    Errors with a code of the table above are raised as that code's class.

    A class of your own says what its errors have in common, and is raised without a code:

        class NoWater(RpcError):
            code = 2001
            message = "No water"

    A client raises it too, where the method's declaration names it: `@method(errors=[NoWater])`.

    Args:
        code: the JSON-RPC error code, any integer; the class's own when left out.
        message: one short sentence; the class's own when left out.
        data: anything that the codec encodes; `None` leaves the member out.
    """

    code: int = -32000
    message: str = "Server error"
    data: Any = None
    default_code: ClassVar[int] = code
    default_message: ClassVar[str] = message

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = vars(cls)
        cls.code = cls.default_code = own.get("code", own.get("default_code", cls.code))
        message = own.get("message", own.get("default_message", cls.message))
        cls.message = cls.default_message = message
        if problem := _problem(cls.code, cls.message):
            raise TypeError(f"class {cls.__name__}: {problem}")

    @overload
    def __init__(self, code: int, message: str, data: Any = None) -> None: ...
    @overload
    def __init__(self, message: str | None = None, data: Any = None) -> None: ...
    def __init__(self, *args: Any, **named: Any) -> None:
        if not args and "code" not in named:
            self._set(type(self).code, **named)
            return
        is_plain = type(self) is RpcError and bool(args)
        if is_plain and len(args) + len(named) == 1 and not isinstance(args[0], int):
            raise TypeError(f"RpcError needs a code, an integer: RpcError(2001, {args[0]!r})")
        has_code = is_plain or "code" in named or (bool(args) and isinstance(args[0], int))
        self._set(*args, **named) if has_code else self._set(type(self).code, *args, **named)

    def _set(self, code: int, message: str | None = None, data: Any = None) -> None:
        self.code = code
        self.message = type(self).message if message is None else message
        self.data = data
        self.args = (code, self.message, data)

    @property
    def problem(self) -> str | None:
        """Why it cannot be sent: its code is no integer, or its message no text."""
        return _problem(self.code, self.message)

    def as_declared(self, kinds: Mapping[int, type["RpcError"]]) -> "RpcError":
        """The same error, of the class that stands for its code there, if one does."""
        kind = kinds.get(self.code, RpcError)
        if isinstance(self, kind):
            return self
        error = kind.__new__(kind)
        error._set(self.code, self.message, self.data)
        for note in getattr(self, "__notes__", ()):
            error.add_note(note)
        return error

    def __str__(self) -> str:
        detail = "" if self.data is None else f": {self.data}"
        return f"{self.message} ({self.code}){detail}"


def _problem(code: object, message: object) -> str | None:
    if type(code) is int and type(message) is str:
        return None
    if not isinstance(code, int) or isinstance(code, bool):
        return f"the code of an error is an integer, not {code!r}"
    return None if isinstance(message, str) else f"its message is a text, not {message!r}"


class ParseError(RpcError):
    """The message is not JSON."""

    code = -32700
    message = "Parse error"


class InvalidRequest(RpcError):
    """The message is JSON, but neither a request nor a response."""

    code = -32600
    message = "Invalid Request"


class MethodNotFound(RpcError):
    """No method has that name."""

    code = -32601
    message = "Method not found"


class InvalidParams(RpcError):
    """The parameters do not fit the method's signature; `data` says where and why."""

    code = -32602
    message = "Invalid params"


class InternalError(RpcError):
    """The handler failed in a way that it did not foresee."""

    code = -32603
    message = "Internal error"


class ServerError(RpcError):
    """Generic failure that has no code of its own."""


class TooLarge(RpcError):
    """The message does not fit the channel; `data` is `{"size": bytes, "limit": bytes}`."""

    code = -32001
    message = "Message too large"


class DeadlineExceeded(RpcError):
    """The time that the caller or the method allows is over."""

    code = -32002
    message = "Deadline exceeded"


class Cancelled(RpcError):
    """The caller cancelled the call."""

    code = -32003
    message = "Cancelled"


class Busy(RpcError):
    """Too much at once; `data` may be `{"retry_after": seconds}`."""

    code = -32004
    message = "Busy"


class Unauthorized(RpcError):
    """The method needs a permission, and the peer has not been authenticated."""

    code = -32005
    message = "Unauthorized"


class Forbidden(RpcError):
    """The peer is known, but lacks the permission that the method needs."""

    code = -32006
    message = "Forbidden"


class DeviceOffline(RpcError):
    """A gateway's device is away; `data` is `{"since": seconds}`, in Unix time."""

    code = -32010
    message = "Device offline"


class OutcomeUnknown(RpcError):
    """A request that came again was sent before this peer was there, and may have run.

    Or a gateway has lost its link to the device during the call, and tells no `data`.

    `data` tells, as `{"listening": seconds}`, for how long it has been there. A client whose call
    is younger than that calls again, since nothing can have run.
    """

    code = -32011
    message = "Not known whether it ran"


_BY_CODE = {cls.code: cls for cls in RpcError.__subclasses__()}


def rpc_error(code: int, message: str, data: Any = None) -> RpcError:
    """The error of that code: of the code's own class where it has one."""
    return _BY_CODE.get(code, RpcError)(code, message, data)


class MessageTooLarge(JsonRpcIotError):
    """A message does not fit the channel. Nothing was sent.

    Args:
        size: bytes that the message has.
        limit: bytes that the channel carries.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"message of {size} bytes exceeds the channel's limit of {limit} bytes")
        self.size = size
        self.limit = limit


class CallTimeout(JsonRpcIotError, TimeoutError):
    """No response came within the caller's time; whether the method ran is unknown.

    Unless the text says that the request was not sent.
    """


class MalformedResponse(JsonRpcIotError):
    """The other end answered a call with something that is no JSON-RPC response."""


class UsageError(JsonRpcIotError, ValueError):
    """The program asked for something that cannot be."""


class InvalidUrl(UsageError):
    """A URL with an unknown scheme, option or value; the text names the valid ones."""


class Unencodable(UsageError):
    """Params or a result that the codec has no form for, such as NaN or an unknown class."""


class MissingExtra(UsageError):
    """A transport or command needs an optional dependency; the text says what to install."""


class KeyringError(UsageError):
    """A keyring cannot be read or written, or has a mistake; the text names the file and line."""


class TransportError(JsonRpcIotError):
    """The link failed, not the message."""


class BindFailed(TransportError):
    """A server cannot listen; the text names the URL."""


class ConnectFailed(TransportError):
    """A client cannot connect; the text names the URL."""


class ConnectTimeout(ConnectFailed, TimeoutError):
    """A client cannot connect within its time; the text names the URL."""


class ChannelClosed(TransportError):
    """The channel ended, or over HTTP one call's connection: its outcome is unknown."""


class FramingError(TransportError):
    """The byte stream can no longer be cut into messages, so the channel must close.

    Args:
        error: what to tell the other end before closing.
    """

    def __init__(self, error: RpcError) -> None:
        super().__init__(str(error))
        self.error = error


class MalformedFrame(TransportError):
    """One frame arrived whole, but its data makes no sense; the text says why.

    Those after it can be read as ever.
    """
