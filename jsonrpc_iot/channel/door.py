"""The door of a server: who is at the other end of a channel, and whether strangers may come in.

What the link has proved, what the keyring knows and what a hook says come together here.
"""

import sys
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

import anyio

from ..errors import Busy, RpcError, Unauthorized
from ..protocol.limits import DEFAULT_LIMITS, Limits
from ..trust import audit
from ..trust.certificates import names_in
from ..trust.principal import ALL, URL_KEY, Principal, Standing
from .contract import Authenticate, Channel
from .info import ChannelAttribute
from .refusing import Refuser, place_at, place_of
from .web import WebAttribute
from .wrappers import ProvenChannel

if TYPE_CHECKING:
    from ..trust.keyring import Keyring
    from ..trust.pairing import Pairing

GONE = Unauthorized("The key is no longer valid")
"""What those hear whose key was revoked or has expired."""

WRONG = Unauthorized("Nobody has that token")
"""What those hear who bring a token that proves nothing, or does so no more."""

Prove = Callable[[Channel, Standing, str, Callable[[], object]], Awaitable[None]]
"""Has the other end of a channel prove by a token who it is; see `Door.prove`."""


class Door:
    """Says who comes in.

    Args:
        authenticate: has the last word on who somebody is.
        keyring: knows keys, tokens, certificates and users.
        strangers: whether who has proved nothing may call what needs no permission.
        pairing: gives keys to who knows a code.
        everybody: who a stranger is where there is no other way to be somebody.
        limits: bounds on what wrong proofs may cost; `authenticate` may take `message_seconds`.

    Attributes:
        refuser: has wrong proofs wait for their answer.
    """

    def __init__(
        self,
        authenticate: Authenticate | None,
        keyring: "Keyring | None",
        *,
        strangers: bool,
        pairing: "Pairing | None" = None,
        everybody: Principal | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.refuser = Refuser(limits)
        self._authenticate = authenticate
        self._keyring = keyring
        self._strangers = strangers
        self._seconds = limits.message_seconds
        self._everybody = everybody if authenticate is None and keyring is None else None
        self._pairing = pairing

    @property
    def is_guarded(self) -> bool:
        """Whether somebody decides who may come in."""
        return self._authenticate is not None or not self._strangers

    @property
    def gives_permissions(self) -> bool:
        """Whether anybody here may have permissions that others have not."""
        return self._authenticate is not None or self._keyring is not None

    @property
    def has_keyring(self) -> bool:
        """Whether it knows the tokens of a keyring."""
        return self._keyring is not None

    @property
    def needs_proof(self) -> bool:
        """Whether nobody may come in who has proved nothing."""
        return not self._strangers

    @property
    def lets_everybody_act(self) -> bool:
        """Whether who has proved nothing may do what needs permissions."""
        return self._everybody is not None

    @property
    def everybody_may(self) -> str:
        """What who has proved nothing may do beside what needs no permission, in words."""
        may = frozenset() if self._everybody is None else self._everybody.permissions
        if ALL in may or not isinstance(may, frozenset):
            return "do everything"
        return f"do what needs the permission {' or '.join(sorted(may))}"

    async def admit(self, channel: Channel) -> Standing:
        """Find out who is at the other end of a channel, and what it may do.

        Raises:
            Unauthorized: it has brought a token, which nobody has, or has any more.
            TimeoutError: `authenticate` took too long.
            Exception: it failed.
        """
        try:
            standing = await self._admit(channel)
        except Unauthorized:
            await self.refuser.wait(place_of(channel.info))
            raise
        if self._pairing is not None:
            standing.pair = self._pair
        return standing

    async def _admit(self, channel: Channel) -> Standing:
        principal = proved = self._proved(channel)
        if proved is URL_KEY:  # which no change of the keyring touches
            proved = None
        try:
            principal = await self._judge(channel, principal)
        except RpcError as refusal:
            audit.refused_proof(channel.info.peer, "hook", refusal.message)
            if channel.extra(ChannelAttribute.bearer_token, None) is not None:
                await self.refuser.wait(place_of(channel.info))
            return Standing(proved=proved, refusal=refusal)
        if principal is None and proved is None and self._brings_wrong_token(channel):
            audit.refused_proof(channel.info.peer, "token", "nobody has it")
            raise WRONG.with_traceback(None)  # it is raised again and again
        if principal is None and self._strangers:
            principal = self._everybody
        is_lost = principal is None and not self._strangers
        answer = Unauthorized() if is_lost else None
        # Pushes are not for whom a hook does not know; to a guest it gives no permissions instead.
        standing = Standing(principal, proved, answer, deaf=self._authenticate is not None)
        if self.renew(channel.info.peer, standing):
            return standing
        if proved is not None and proved.proof == "token":
            raise GONE.with_traceback(None)
        return Standing(refusal=GONE)

    async def prove(
        self, channel: Channel, standing: Standing, token: str, judged: Callable[[], object]
    ) -> None:
        """Have the other end prove by a token who it is; a token that nobody has changes nothing.

        Args:
            channel: leads to it.
            standing: who it has been so far.
            token: came in a message.
            judged: is called when it is known that the token is wrong, which is answered later.

        Raises:
            Unauthorized: nobody has that token.
            RpcError: whoever has it is refused, for that reason.
        """
        try:
            await self._prove(channel, standing, token)
        except Busy:
            raise
        except RpcError:
            judged()
            await self.refuser.wait(place_of(channel.info), shield=True)
            raise

    async def _prove(self, channel: Channel, standing: Standing, token: str) -> None:
        proved = None if self._keyring is None else self._keyring.by_token(token)
        if proved is None:
            self.refuser.check(place_of(channel.info))
        try:
            principal = await self._judge(channel, proved, token)
        except RpcError as refusal:
            audit.refused_proof(channel.info.peer, "hook", refusal.message)
            raise
        if principal is None:
            audit.refused_proof(channel.info.peer, "token", "nobody has it")
            raise Unauthorized
        become = Standing(principal, proved)
        if not self.renew(channel.info.peer, become):  # while the hook thought about it
            raise GONE.with_traceback(None)
        standing.become(principal, become.proved)

    async def _pair(
        self, where: str, spake: str | None, confirm: str | None, name: str
    ) -> dict[str, str]:
        """Answer `rpc.pair`; see `Pairing.answer`."""
        assert self._pairing is not None
        try:
            return await self._pairing.answer(where, spake, confirm, name)
        except Unauthorized:
            await self.refuser.wait(place_at(where), shield=True)
            raise

    def renew(self, peer: str, standing: Standing) -> bool:
        """Look again at what the keyring says of somebody, now that it has changed.

        What a hook has made of it holds until the channel ends.

        Args:
            peer: where it is, for the log.
            standing: who it was.

        Returns:
            Whether it may stay: its key is neither revoked nor expired.
        """
        proved = standing.proved
        if proved is None or self._keyring is None:
            return True
        renewed = self._keyring.renewed(proved)
        if renewed is None:
            audit.revoked(peer, proved)
            return False
        if renewed != proved:
            standing.renew(renewed)
        return True

    def _proved(self, channel: Channel) -> Principal | None:
        """Who the link or the keyring says it is."""
        keyring = self._keyring
        if keyring is None or channel.principal is not None:
            return channel.principal
        token = channel.extra(ChannelAttribute.bearer_token, None)
        process = channel.extra(ChannelAttribute.credentials, None)
        return (
            (None if token is None else keyring.by_token(token))
            or (None if process is None else keyring.by_uid(process.uid))
            or keyring.by_certificate(_certified(channel))
        )

    def _brings_wrong_token(self, channel: Channel) -> bool:
        """Whether it has brought a token, if that proves nothing. A server's URL may demand one."""
        token = channel.extra(ChannelAttribute.bearer_token, None)
        is_for_keyring = self._keyring is not None and token is not None
        return is_for_keyring and not channel.extra(WebAttribute.is_url_token, False)

    async def _judge(
        self, channel: Channel, proved: Principal | None, token: str | None = None
    ) -> Principal | None:
        """Who the hook says it is, which knows what is proved; without a hook, that holds."""
        if self._authenticate is None:
            return proved
        if token is not None or proved is not channel.principal:
            channel = ProvenChannel(channel, proved, token)
        with anyio.fail_after(self._seconds):
            known = self._authenticate(channel)
            known = await known if isawaitable(known) else known
        if known is None or isinstance(known, Principal):
            return known
        return Principal(channel.info.peer, known)


def _certified(channel: Channel) -> list[str]:
    """The names in the certificate that the other end has shown, and that was checked."""
    tls = sys.modules.get("anyio.streams.tls")  # which takes long to load, and is not for everybody
    if tls is None:
        return []
    attributes: Mapping[Any, Callable[[], Any]] = channel.extra_attributes
    certificate = attributes.get(tls.TLSAttribute.peer_certificate)
    return [] if certificate is None else names_in(certificate() or {})
