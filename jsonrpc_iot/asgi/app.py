"""The application: which request is which, who may send it, and the status that it gets.

Source: the protocol page, section 3.2, "HTTP".
"""

import logging
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from msgspec import UNSET, Raw, Struct
from msgspec.json import Decoder

from ..channel.changes import Change
from ..channel.door import GONE, Door
from ..channel.tasks import task_group
from ..channel.tracing import Tracing
from ..channel.web import (
    AsgiApp,
    AsgiReceive,
    AsgiSend,
    Scope,
    WebRules,
    client_network,
)
from ..dispatch.answers import Answers
from ..dispatch.dispatcher import Dispatcher
from ..dispatch.responder import Begun
from ..dispatch.run.batch import Pending
from ..dispatch.run.call import PendingCall
from ..dispatch.run.context import CallContext
from ..errors import Forbidden
from ..protocol.about import about
from ..protocol.codec.json import JsonCodec
from ..protocol.limits import Limits
from ..protocol.messages import Request
from ..trust.principal import Standing
from ._http import (
    EVENT_STREAM,
    JSON,
    NO_STORE,
    POST_ONLY,
    Bodies,
    Disconnected,
    Refusal,
    accepts,
    challenge_of,
    denied,
    headers_of,
    refuse,
    respond,
    with_cors,
)
from .admission import Admission
from .by_name import answer_of, may_be_a_page, params_in, request_for
from .console.page import Console
from .console.session import OneTimeKey
from .events import EventLog, Hearing, last_event_of, patterns_of
from .exchange import Callers, Items, run_in_events, run_to_end, status_of
from .requester import Requester, RequestFacts
from .tickets import take_ticket

if TYPE_CHECKING:
    from ..trust.keyring import Keyring

logger = logging.getLogger("jsonrpc_iot.http")

MAX_MESSAGE = 16 << 20
"""Bytes of the largest message over HTTP, in either direction."""

_DISCOVER = b'{"id":1,"method":"rpc.discover"}'
_CLOSE = [(b"connection", b"close")]
_KINDS = (JSON, b"application/json-rpc", b"application/jsonrequest")
_SPECIAL = ("/openrpc.json", "/ticket")  # places below the path that are those of no method


class _Document(Struct):
    result: Raw


_decode_document = Decoder(_Document).decode


class RpcApp:
    """Answers the requests to one path, and to `openrpc.json` below it; `asgi_app` makes one.

    Args:
        dispatcher: answers.
        rules: the path and what else holds for requests.
        door: says who a caller is.
        keyring: is watched while the web server runs the application, and looked at when requests
            come; `None` where somebody else watches it.
        limits: bounds on what callers may cost.
        trace: is shown each message.
        kept_events: notifications that are kept for clients that come back.
        console: browsers get a page by which people use it; or the key that lets one of them in.
        answers: counts what the dispatcher answers; it does not by default.

    Attributes:
        events: the notifications, to whoever reads them.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        rules: WebRules,
        *,
        door: Door,
        keyring: "Keyring | None" = None,
        limits: Limits | None = None,
        trace: Tracing | None = None,
        kept_events: int = 1024,
        console: bool | OneTimeKey = False,
        answers: Answers | None = None,
    ) -> None:
        self._limits = limits = limits or dispatcher.limits
        self._responder = (answers or dispatcher).responder("json")
        self._codec = cast(JsonCodec, self._responder.codec)
        self._path = rules.path.rstrip("/")
        self._rules = rules
        self._door = door
        self._keyring = keyring
        key = console if isinstance(console, OneTimeKey) else None
        self._console = Console(key, rules, door) if console else None
        self._admission = Admission(rules, door, keyring)
        self._show = (trace or Tracing()).show
        self._place = f"http://{rules.path}"  # of those who read events, whoever they are
        self._bodies = Bodies(
            max(MAX_MESSAGE, limits.receive_bytes),
            limits.assembled_bytes_in_all,
            limits.message_seconds,
        )
        self._callers = Callers(limits)
        self._busy = 0
        self._idle = Change()
        self._leaving = False
        self.events = EventLog(kept_events, limits.queue_bytes, limits.peers)
        self._answer: AsgiApp = with_cors(self._answer_http, rules.cors)

    @property
    def is_busy(self) -> bool:
        """Whether requests are being answered."""
        return self._busy > 0

    @property
    def running(self) -> Iterator[PendingCall]:
        """The calls that run."""
        return self._callers.calls

    def publish(self, method: str, params: Any = None, *, requires: str | None = None) -> int:
        """Send a notification to all subscribers that may and want to hear it, from any thread.

        Returns:
            How many these are.

        Raises:
            Unencodable: the codec has no form for the params.
        """
        members = UNSET if params is None else params
        message = self._codec.encode_request(Request(method, UNSET, params=members))
        self._show("->", message, self._place)
        return self.events.publish(message, method, requires)

    def renew(self) -> None:
        """Look at all callers and subscribers again, now that the keyring has changed."""
        self._callers.expel(GONE, self._door.renew)
        self.events.expel(self._door.renew)

    def leave(self) -> None:
        """Answer what is being answered, refuse the rest, and end all subscriptions."""
        self._leaving = True
        self.events.close()

    async def wait_idle(self) -> None:
        """Wait until no request is being answered."""
        while self._busy:
            await self._idle.wait()

    async def __call__(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] == "http":
            self._busy += 1
            try:
                await self._answer(scope, receive, send)
            except Disconnected as reason:
                client = scope.get("client")
                logger.debug("%s: disconnected: %s", client, reason, extra=about(client))
            finally:
                self._busy -= 1
                if not self._busy:
                    self._idle.notify()
        elif scope["type"] == "lifespan":
            async with task_group() as tasks:
                if self._keyring is not None:
                    tasks.start_soon(self._keyring.watch, self.renew)
                await self._live(receive, send)
                tasks.cancel_scope.cancel()
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _live(self, receive: AsgiReceive, send: AsgiSend) -> None:
        while True:
            phase = (await receive())["type"]
            if phase == "lifespan.shutdown":
                self._door.refuser.close()
                self.leave()
            await send({"type": f"{phase}.complete"})
            if phase == "lifespan.shutdown":
                return

    async def _answer_http(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        headers = headers_of(scope)
        below = self._below(scope)
        ticket = take_ticket(scope) if below == "" else None
        try:
            if self._leaving:
                raise Refusal(503, "The server is closing", _CLOSE)
            if problem := self._rules.objection(scope):
                raise Refusal(403, problem, error=Forbidden(problem))
            if self._console and await self._console.answer(scope, below, headers, send):
                return
            if below and below not in _SPECIAL:
                await self._call_by_name(below[1:], scope, headers, receive, send)
            elif below == "/ticket":
                await self._give_ticket(scope, headers, receive, send)
            elif below:
                await self._describe(scope, headers, send)
            elif below is None:
                raise Refusal(404, "Not found")
            elif scope["method"] == "POST":
                await self._post(scope, headers, receive, send)
            elif scope["method"] == "GET":
                await self._get(scope, headers, receive, send, ticket)
            else:
                raise Refusal(405, "POST a message, or GET events", [(b"allow", b"GET, POST")])
        except Refusal as refusal:
            await refuse(refusal, headers, receive, send)

    def _below(self, scope: Scope) -> str | None:
        """What the path has after ours, `None` where it is another one."""
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        below = path.removeprefix(self._path)
        if not path.startswith(self._path) or below[:1] not in ("", "/"):
            return None
        return below.rstrip("/")

    async def _identify(self, scope: Scope, headers: dict[bytes, bytes]) -> RequestFacts:
        """Find out who sends a request; see `Admission.identify`."""
        self._look()
        return await self._admission.identify(scope, headers)

    def _look(self) -> None:
        """See whether the keyring has changed, where nobody watches it."""
        if self._admission.look():
            self.renew()

    async def _post(
        self, scope: Scope, headers: dict[bytes, bytes], receive: AsgiReceive, send: AsgiSend
    ) -> None:
        data, facts = await self._read(scope, headers, receive)
        self._show("<-", data, facts.info.peer)
        show = partial(self._show, "->", peer=facts.info.peer)
        items = Items(self._codec, show) if accepts(headers, EVENT_STREAM) else None
        caller = self._caller(scope, facts)
        context = CallContext(items, facts.info, facts.standing, caller.lanes)
        context.traceparent = self._responder.traces.of_header(headers.get(b"traceparent"))
        reply = self._begin(data, context, facts.standing)
        if isinstance(reply, Pending):
            with self._callers.running(reply, caller, facts) as running:
                if items is not None and running.streams:
                    seconds = self._limits.send_seconds
                    await run_in_events(running, items, scope, receive, send, seconds)
                    return
                reply = await run_to_end(running, scope, receive, len(data))
        refusal = facts.standing.refusal
        if reply is None:
            if refusal is not None:
                raise denied(refusal)
            await respond(send, 202, b"")
            return
        self._show("->", reply, facts.info.peer)
        if refusal is not None and not reply.startswith(b"["):
            status, _ = answer_of(reply)
            headers_too = () if status == 200 else denied(refusal).headers
            await respond(send, status, reply, headers=headers_too)
        else:
            await respond(send, status_of(reply), reply)

    def _caller(self, scope: Scope, facts: RequestFacts) -> Requester:
        return self._callers.of(facts.standing.share_of(client_network(scope)))

    def _begin(self, data: bytes, context: CallContext, standing: Standing) -> Begun:
        limit = self._rules.max_message
        if standing.refusal is None:
            return self._responder.begin(data, context, limit)
        return self._responder.begin_read(data, self._responder.read(data), context, limit, None)

    async def _call_by_name(
        self,
        name: str,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: AsgiReceive,
        send: AsgiSend,
    ) -> None:
        """Answer a request to the place of one method."""
        handler = self._responder.handler(name)
        if "/" in name or ("." not in name and handler is None):
            raise Refusal(404, "Not found")
        if scope["method"] == "GET" and handler is not None:
            only_reads = not self._rules.is_open and may_be_a_page(headers)
            facts = await self._identify(scope, headers)
            params = await params_in(scope["query_string"], handler, facts.standing, only_reads)
        elif scope["method"] in ("GET", "POST"):
            params, facts = await self._read(scope, headers, receive, bare_is_empty=True)
        else:
            raise Refusal(405, "POST the params", POST_ONLY)
        data = request_for(name, params)
        self._show("<-", data, facts.info.peer)
        caller = self._caller(scope, facts)
        context = CallContext(None, facts.info, facts.standing, caller.lanes)
        context.traceparent = self._responder.traces.of_header(headers.get(b"traceparent"))
        reply = self._begin(data, context, facts.standing)
        if isinstance(reply, Pending):
            with self._callers.running(reply, caller, facts) as running:
                reply = await run_to_end(running, scope, receive, len(params))
        assert reply is not None
        self._show("->", reply, facts.info.peer)
        status, body = answer_of(reply)
        await respond(send, status, body, headers=challenge_of(status))

    async def _read(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: AsgiReceive,
        *,
        bare_is_empty: bool = False,
    ) -> tuple[bytes, RequestFacts]:
        """Take in the body of a request; returns it, and who sends it."""
        kind = headers.get(b"content-type", b"")
        if bare_is_empty and not kind and headers.get(b"content-length", b"0") == b"0":
            kind = JSON
        if kind != JSON and kind.partition(b";")[0].strip().lower() not in _KINDS:
            raise Refusal(415, "The content type has to be application/json")
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise Refusal(415, "The body has to come as it is", [(b"accept-encoding", b"identity")])
        facts = await self._identify(scope, headers)
        data = await self._bodies.read(scope, receive, headers.get(b"content-length"))
        if not self._admission.stays(facts):  # while the body came
            raise denied(GONE)
        connection = scope.get("state", {}).get("jsonrpc_iot")
        if connection is not None and connection.has_hung_up:
            raise Refusal(408, "The connection was closed before the call began")
        return data, facts

    async def _give_ticket(
        self, scope: Scope, headers: dict[bytes, bytes], receive: AsgiReceive, send: AsgiSend
    ) -> None:
        """Let whoever has proved who it is send that proof along with an EventSource."""
        if scope["method"] != "POST":
            raise Refusal(405, "POST to get a ticket", POST_ONLY)
        _, facts = await self._read(scope, headers, receive, bare_is_empty=True)
        await respond(send, 200, self._admission.give_ticket(facts, scope), headers=NO_STORE)

    async def _get(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: AsgiReceive,
        send: AsgiSend,
        ticket: str | None,
    ) -> None:
        if not accepts(headers, EVENT_STREAM):
            raise Refusal(406, "GET gives events: say Accept: text/event-stream, or POST a message")
        if ticket is not None:
            self._look()
            facts = await self._admission.by_ticket(ticket, scope)
        else:
            facts = await self._identify(scope, headers)
        if facts.standing.refusal is not None:
            raise denied(facts.standing.refusal)
        hears = Hearing(facts.standing, patterns_of(scope), facts.info.peer)
        event_id = last_event_of(scope, headers)
        await self.events.serve(scope, receive, send, event_id, self._limits.send_seconds, hears)

    async def _describe(self, scope: Scope, headers: dict[bytes, bytes], send: AsgiSend) -> None:
        if scope["method"] != "GET":
            raise Refusal(405, "GET the document", [(b"allow", b"GET")])
        facts = await self._identify(scope, headers)
        if facts.standing.refusal is not None:
            raise denied(facts.standing.refusal)
        context = CallContext(None, facts.info, facts.standing)
        reply = await self._responder.dispatch(_DISCOVER, context)
        assert reply is not None
        await respond(send, 200, bytes(_decode_document(reply).result))
