"""Another ASGI application behind the same door: who may come in, from whose page, and as whom."""

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import anyio

from ..channel.changes import Change
from ..channel.door import GONE, Door
from ..channel.tasks import task_group
from ..channel.web import AsgiApp, AsgiReceive, AsgiSend, Scope, WebRules
from ..errors import Forbidden
from ._http import Refusal, denied, end_events, headers_of, refuse, respond
from .admission import Admission
from .requester import RequestFacts

if TYPE_CHECKING:
    from ..trust.keyring import Keyring

_LEAVING_SECONDS = 5.0
_LOOK_SECONDS = 1.0  # between looks whether who reads a long answer still may

Enter = Callable[[Scope, RequestFacts], object]


class GuardedApp:
    """Lets those requests through to an application that may come in.

    An answer that goes on ends when the key of who has asked for it is revoked.

    Args:
        app: answers.
        rules: what holds for requests.
        door: says who sends them.
        keyring: is looked at when requests come, and while answers go on.
        enter: is told of each request that comes in, with its scope, which it may add to.
    """

    def __init__(
        self,
        app: AsgiApp,
        rules: WebRules,
        door: Door,
        keyring: "Keyring | None",
        enter: Enter,
    ) -> None:
        self._app = app
        self._rules = rules
        self._admission = Admission(rules, door, keyring)
        self._enter = enter
        self._running: set[anyio.CancelScope] = set()
        self._ended = Change()
        self._is_leaving = False

    async def __call__(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answer one request, as ASGI has it."""
        headers = headers_of(scope)
        try:
            facts = await self._admit(scope, headers)
        except Refusal as refusal:
            await refuse(refusal, headers, receive, send)
            return
        self._enter(scope, facts)
        answer = _Answer(send)
        async with task_group() as tasks:
            self._running.add(tasks.cancel_scope)
            try:
                if facts.standing.proved is not None:
                    tasks.start_soon(self._expel, facts, tasks.cancel_scope)
                if not self._is_leaving:
                    await self._app(scope, receive, answer.send)
            finally:
                self._running.discard(tasks.cancel_scope)
                tasks.cancel_scope.cancel()
        await answer.end()
        self._ended.notify()

    async def leave(self) -> None:
        """End all answers, and wait until they have ended."""
        self._is_leaving = True
        for scope in tuple(self._running):
            scope.cancel()
        with anyio.move_on_after(_LEAVING_SECONDS, shield=True):
            while self._running:
                await self._ended.wait()

    async def _admit(self, scope: Scope, headers: dict[bytes, bytes]) -> RequestFacts:
        if problem := self._rules.objection(scope):
            raise Refusal(403, problem, error=Forbidden(problem))
        self._admission.look()
        facts = await self._admission.identify(scope, headers)
        if facts.standing.refusal is not None:
            raise denied(facts.standing.refusal)
        if not self._admission.stays(facts):
            raise denied(GONE)
        return facts

    async def _expel(self, facts: RequestFacts, scope: anyio.CancelScope) -> None:
        while True:
            await anyio.sleep(_LOOK_SECONDS)
            self._admission.look()
            if not self._admission.stays(facts):
                scope.cancel()


class _Answer:
    """What an application sends, which is brought to an end where it was stopped.

    Args:
        send: takes it.
    """

    def __init__(self, send: AsgiSend) -> None:
        self._send = send
        self._has_begun = False
        self._has_ended = False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Send a part of it."""
        kind = message["type"]
        self._has_begun |= kind == "http.response.start"
        self._has_ended |= kind == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def end(self) -> None:
        """Send what is missing of it."""
        if not self._has_begun:
            await respond(self._send, 503, b"The server is closing\n", b"text/plain")
        elif not self._has_ended:
            await end_events(self._send)
