"""The application for a web program that is there already."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..channel.contract import Authenticate, Trace
from ..channel.door import Door
from ..channel.tracing import Tracing
from ..channel.web import WebRules
from ..dispatch.dispatcher import Dispatcher
from ..protocol.limits import Limits
from .app import MAX_MESSAGE, RpcApp

if TYPE_CHECKING:
    from ..trust.keyring import Keyring
    from ..trust.pairing import Pairing


def asgi_app(
    dispatcher: Dispatcher,
    path: str = "/rpc",
    *,
    authenticate: Authenticate | None = None,
    keyring: "Keyring | None" = None,
    strangers: bool = True,
    pairing: "Pairing | None" = None,
    limits: Limits | None = None,
    max_message: int = MAX_MESSAGE,
    cors: str | Sequence[str] = (),
    hosts: Sequence[str] = (),
    forwarded: bool = False,
    token: str | None = None,
    trace: Trace | None = None,
    kept_events: int = 1024,
    console: bool = False,
) -> RpcApp:
    """An ASGI application that answers POSTs to a path, and sends events to those who GET it.

    Args:
        dispatcher: answers; what it emits goes to the subscribers.
        path: below the place where the application is mounted.
        authenticate: says who a caller is or what it may do, from the facts of its request, and has
            the last word on that; see `Authenticate`.
        keyring: says what bearer tokens and client certificates may do. It is read again when it
            changes: at once where the web server tells the application of its start, elsewhere with
            the next request, or run `keyring.watch(app.renew)`.
        strangers: whether who has proved nothing may call what needs no permission.
        pairing: gives a key to who knows a code, while its window is open; its keyring counts where
            no other is given.
        limits: bounds on what callers may cost; the dispatcher's by default.
        max_message: bytes of the largest reply.
        cors: the origin or origins whose pages may call it from a browser, `*` for all.
        hosts: names under which it may be asked, `*` for any, beside addresses, names of this
            machine and names without a dot. With a token, or over TLS, any will do.
        forwarded: it is behind a proxy that sets `X-Forwarded-Host`.
        token: the bearer token that every request must have.
        trace: is called with each message that arrives or leaves.
        kept_events: notifications that are kept for clients that come back with `Last-Event-ID`.
        console: a browser that opens the path gets a page by which people use the dispatcher;
            programs get what they get without it.

    Raises:
        MissingExtra: `cors` is given, and the extra `http` is not installed.
    """
    rules = WebRules(
        path=path,
        max_message=max_message,
        token=token,
        cors=(cors,) if isinstance(cors, str) else tuple(cors),
        hosts=tuple(hosts),
        forwarded=forwarded,
    )
    limits = limits or dispatcher.limits
    if pairing is not None:
        keyring = keyring or pairing.keyring
        dispatcher.offer_pairing()
    app = RpcApp(
        dispatcher,
        rules,
        door=Door(
            authenticate,
            keyring,
            strangers=strangers,
            pairing=pairing,
            everybody=dispatcher.everybody,
            limits=limits,
        ),
        keyring=keyring,
        limits=limits,
        trace=Tracing(trace),
        kept_events=kept_events,
        console=console,
    )
    dispatcher.on_emit(app.publish)
    return app
