"""Register methods once and have them answer over every link that an IoT device has.

`Dispatcher` takes the methods, `serve` and `run` make them answer at URLs, `connect` calls a device
at a URL, and so does `connect_sync` without async. The transports are described on the project's
documentation pages.
"""

import logging

from .asgi import asgi_app
from .batch import BatchedCall, CallBatch
from .blocking import BlockingClient, connect_sync
from .channel import (
    Authenticate,
    Channel,
    ChannelAttribute,
    ChannelInfo,
    Listener,
    PeerCredentials,
    StreamChannel,
    Trace,
)
from .client import Client, connect
from .context import Context
from .dispatcher import Dispatcher
from .errors import (
    BindFailed,
    Busy,
    CallTimeout,
    Cancelled,
    ChannelClosed,
    ConnectFailed,
    ConnectTimeout,
    DeadlineExceeded,
    Forbidden,
    FramingError,
    InternalError,
    InvalidParams,
    InvalidRequest,
    InvalidUrl,
    JsonRpcIotError,
    MalformedFrame,
    MalformedResponse,
    MessageTooLarge,
    MethodNotFound,
    MissingExtra,
    ParseError,
    RpcError,
    ServerError,
    TooLarge,
    TransportError,
    Unauthorized,
    Unencodable,
    UsageError,
)
from .event import BoundEvent, Event
from .middleware import Call, Middleware, Next
from .news import Notification
from .options import Example
from .peer import Peer
from .protocol.limits import Limits
from .protocol.messages import Dialect
from .server import Server, run, serve
from .service import method, notification, service
from .stream import Stream

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
    "Dialect",
    "Dispatcher",
    "Event",
    "Example",
    "Forbidden",
    "FramingError",
    "InternalError",
    "InvalidParams",
    "InvalidRequest",
    "InvalidUrl",
    "JsonRpcIotError",
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
    "ParseError",
    "Peer",
    "PeerCredentials",
    "RpcError",
    "Server",
    "ServerError",
    "Stream",
    "StreamChannel",
    "TooLarge",
    "Trace",
    "TransportError",
    "Unauthorized",
    "Unencodable",
    "UsageError",
    "asgi_app",
    "connect",
    "connect_sync",
    "method",
    "notification",
    "run",
    "serve",
    "service",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
