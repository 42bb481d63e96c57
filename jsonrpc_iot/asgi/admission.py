"""Who sends a request: by its bearer token, its client's certificate, or a ticket."""

import logging
from typing import TYPE_CHECKING

import anyio
from msgspec.json import encode

from ..channel.door import GONE, Door
from ..channel.refusing import place_of
from ..channel.web import Scope, WebRules, bearer_token, client_network
from ..errors import Unauthorized
from ..protocol.about import about
from ..trust import audit
from ._http import Refusal, denied, unauthorized
from .requester import RequestFacts
from .tickets import SECONDS, Tickets

if TYPE_CHECKING:
    from ..trust.keyring import Keyring

logger = logging.getLogger("jsonrpc_iot.http")

_LOOK_SECONDS = 0.5


class Admission:
    """Says who sends the requests to one application.

    Args:
        rules: what holds for them.
        door: knows who is who.
        keyring: is looked at when requests come; `None` where somebody else watches it.
    """

    def __init__(self, rules: WebRules, door: Door, keyring: "Keyring | None") -> None:
        self._rules = rules
        self._door = door
        self._tickets = Tickets()
        self._keyring = keyring
        self._look_at = 0.0

    async def identify(self, scope: Scope, headers: dict[bytes, bytes]) -> RequestFacts:
        """Find out who sends a request.

        Raises:
            Refusal: its token is missing or wrong, or nobody can say.
        """
        token = bearer_token(headers.get(b"authorization"))
        facts = RequestFacts(scope, token, self._rules)
        if not self._rules.admits(token):
            if token is not None:
                audit.refused_proof(facts.info.peer, "token", "it is not the server's")
                await self._rules.refuser.wait(place_of(facts.info))
            raise unauthorized()
        try:
            facts.standing = await self._door.admit(facts)
        except Unauthorized as wrong:
            raise denied(wrong) from None
        except Exception:
            logger.exception(
                "%s: authenticate failed", facts.info.peer, extra=about(facts.info.peer)
            )
            raise unauthorized() from None
        return facts

    async def by_ticket(self, ticket: str, scope: Scope) -> RequestFacts:
        """Find out who sends a request with a ticket, which is spent by that.

        Raises:
            Refusal: it is no good, or whoever has got it may not come in any more.
        """
        facts = RequestFacts(scope, None, self._rules)
        standing = self._tickets.spend(ticket, anyio.current_time())
        if standing is None:
            audit.refused_proof(facts.info.peer, "ticket", "it is spent, too old or made up")
            await self._door.refuser.wait(place_of(facts.info))
            raise denied(Unauthorized("The ticket is spent or too old"))
        facts.standing = standing
        if not self.stays(facts):
            raise denied(GONE)
        return facts

    def give_ticket(self, facts: RequestFacts, scope: Scope) -> bytes:
        """A ticket for whoever sends a request; returns the answer.

        Raises:
            Refusal: it has proved nothing, or has too many.
        """
        standing = facts.standing
        if standing.refusal is not None:
            raise denied(standing.refusal)
        if standing.principal is None and self._rules.token is None:
            raise unauthorized()
        share = standing.share_of(client_network(scope))
        ticket = self._tickets.give(standing, share, anyio.current_time())
        if ticket is None:
            raise Refusal(503, "Too many tickets at once", [(b"retry-after", b"%d" % SECONDS)])
        return encode({"ticket": ticket, "seconds": SECONDS})

    def stays(self, facts: RequestFacts) -> bool:
        """Whether whoever sends a request is still who it was when that began."""
        return self._door.renew(facts.info.peer, facts.standing)

    def look(self) -> bool:
        """Read the keyring again if that is due; says whether it has changed."""
        if self._keyring is None or anyio.current_time() < self._look_at:
            return False
        self._look_at = anyio.current_time() + _LOOK_SECONDS
        return self._keyring.refresh()
