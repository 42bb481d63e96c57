"""`GET /metrics`: what a server counts, for those who may read it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ..channel.door import Door
from ..channel.web import AsgiReceive, AsgiSend, Scope, WebRules
from ..dispatch.counted.method import PERMISSION
from ..errors import Forbidden, Unauthorized
from ..protocol.exposition import CONTENT_TYPE
from ._http import NO_STORE, Refusal, denied, headers_of, refuse, respond
from .admission import Admission

if TYPE_CHECKING:
    from ..trust.keyring import Keyring

PLACE = "metrics"


class MetricsPage:
    """Answers the requests to one path.

    Args:
        rules: what holds for them; who has the token of the URL, if that has one, may read.
        door: says who sends them.
        keyring: is looked at when requests come; `None` where somebody else watches it.
        is_open: nobody needs a permission.
        read: gives the text.
    """

    def __init__(
        self,
        rules: WebRules,
        door: Door,
        keyring: "Keyring | None",
        read: Callable[[], Awaitable[str]],
        *,
        is_open: bool,
    ) -> None:
        self._rules = rules
        self._is_open = is_open or rules.token is not None
        self._admission = Admission(rules, door, keyring)
        self._read = read

    async def __call__(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answer one request, as ASGI has it."""
        headers = headers_of(scope)
        try:
            await self._admit(scope, headers)
        except Refusal as refusal:
            await refuse(refusal, headers, receive, send)
            return
        text = (await self._read()).encode(errors="replace")
        await respond(send, 200, text, CONTENT_TYPE.encode(), NO_STORE)

    async def _admit(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        if problem := self._rules.objection(scope):
            raise Refusal(403, problem, error=Forbidden(problem))
        if scope["path"].rstrip("/") != self._rules.path:
            raise Refusal(404, "Not found")
        if scope["method"] != "GET":
            raise Refusal(405, "GET the metrics", [(b"allow", b"GET")])
        standing = (await self._admission.identify(scope, headers)).standing
        if standing.refusal is not None:
            raise denied(standing.refusal)
        if not self._is_open and not standing.permits(PERMISSION):
            if standing.principal is None:
                raise denied(Unauthorized())
            raise denied(Forbidden(data={"requires": PERMISSION}))
