"""Register methods once and have them answer over every link that an IoT device has.

`Dispatcher` takes the methods, `serve` and `run` make them answer at URLs, `connect` calls a device
at a URL, and so does `connect_sync` without async. The transports are described on the project's
documentation pages.

What a client does not need is loaded when it is first used.
"""

from .channel import interrupts as _interrupts

# isort: split
import logging
from typing import TYPE_CHECKING

from .channel import logs as _logs
from .channel.contract import Authenticate, Channel, Listener, Trace, Transport
from .channel.info import ChannelAttribute, ChannelInfo, PeerCredentials
from .channel.options import PacketOptions
from .channel.trace_context import part_of_trace
from .channel.url import Url
from .channel.wrappers import StreamChannel
from .client.batch import BatchedCall, CallBatch
from .client.client import Client
from .client.connecting import connect
from .client.notifications import Notification
from .dispatch.declare.context import Context
from .dispatch.declare.event import BoundEvent, Event
from .dispatch.declare.options import Example
from .dispatch.declare.service import method, notification, service
from .dispatch.declare.stream import Stream, stream
from .dispatch.dispatcher import Dispatcher
from .dispatch.run.middleware import Call, Middleware, Next
from .errors import (
    BindFailed,
    Busy,
    CallTimeout,
    Cancelled,
    ChannelClosed,
    ConnectFailed,
    ConnectTimeout,
    DeadlineExceeded,
    DeviceOffline,
    Forbidden,
    FramingError,
    InternalError,
    InvalidParams,
    InvalidRequest,
    InvalidUrl,
    JsonRpcIotError,
    KeyringError,
    MalformedFrame,
    MalformedResponse,
    MessageTooLarge,
    MethodNotFound,
    MissingExtra,
    OutcomeUnknown,
    ParseError,
    RpcError,
    ServerError,
    TooLarge,
    TransportError,
    Unauthorized,
    Unencodable,
    UsageError,
)
from .peer.peer import Peer
from .protocol.limits import Limits
from .protocol.messages import Dialect
from .transports import register_transport
from .trust.principal import Permission, Principal

if TYPE_CHECKING:
    from .asgi import asgi_app
    from .blocking import BlockingClient, connect_sync
    from .client.discovery import Found, discover
    from .client.instrument import instrument
    from .client.pairing import pair
    from .dispatch.counted.stats import Stats
    from .gateway import DeviceState, Gateway
    from .server.program import run
    from .server.server import Server
    from .server.serving import serve
    from .trust.keyring import Keyring
    from .trust.pairing import Pairing
else:
    _LATER = {
        "BlockingClient": "blocking",
        "DeviceState": "gateway",
        "Found": "client.discovery",
        "Gateway": "gateway",
        "Keyring": "trust.keyring",
        "Pairing": "trust.pairing",
        "Server": "server.server",
        "Stats": "dispatch.counted.stats",
        "asgi_app": "asgi",
        "connect_sync": "blocking",
        "discover": "client.discovery",
        "instrument": "client.instrument",
        "pair": "client.pairing",
        "run": "server.program",
        "serve": "server.serving",
    }

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER})


__all__ = [
    "Authenticate",
    "BatchedCall",
    "BindFailed",
    "BlockingClient",
    "BoundEvent",
    "Busy",
    "Call",
    "CallBatch",
    "CallTimeout",
    "Cancelled",
    "Channel",
    "ChannelAttribute",
    "ChannelClosed",
    "ChannelInfo",
    "Client",
    "ConnectFailed",
    "ConnectTimeout",
    "Context",
    "DeadlineExceeded",
    "DeviceOffline",
    "DeviceState",
    "Dialect",
    "Dispatcher",
    "Event",
    "Example",
    "Forbidden",
    "Found",
    "FramingError",
    "Gateway",
    "InternalError",
    "InvalidParams",
    "InvalidRequest",
    "InvalidUrl",
    "JsonRpcIotError",
    "Keyring",
    "KeyringError",
    "Limits",
    "Listener",
    "MalformedFrame",
    "MalformedResponse",
    "MessageTooLarge",
    "MethodNotFound",
    "Middleware",
    "MissingExtra",
    "Next",
    "Notification",
    "OutcomeUnknown",
    "PacketOptions",
    "Pairing",
    "ParseError",
    "Peer",
    "PeerCredentials",
    "Permission",
    "Principal",
    "RpcError",
    "Server",
    "ServerError",
    "Stats",
    "Stream",
    "StreamChannel",
    "TooLarge",
    "Trace",
    "Transport",
    "TransportError",
    "Unauthorized",
    "Unencodable",
    "Url",
    "UsageError",
    "asgi_app",
    "connect",
    "connect_sync",
    "discover",
    "instrument",
    "method",
    "notification",
    "pair",
    "part_of_trace",
    "register_transport",
    "run",
    "serve",
    "service",
    "stream",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
_logs.guard()

del logging, _interrupts, TYPE_CHECKING  # `dir` shows what is public
