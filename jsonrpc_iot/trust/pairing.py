"""Pairing: who knows a device's short code gets a key from it, over any transport.

Who listens, or pretends to be either end, learns nothing, and has one guess a try. The bytes are
those of `exchange`; both steps are calls of `rpc.pair` with messages of at most 200 bytes:

1. `{"spake": Base64}` is answered with `{"spake": Base64}`: the messages of SPAKE2.
2. `{"confirm": Base64, "name": text}` is answered with `{"confirm": Base64, "key": Base64}`: the
   client shows first that it knows the code, then the device does, and gives the key.

Source: the trust page, section 3.
"""

import hmac
import logging
import time
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import anyio
import anyio.to_thread
import msgspec

from ..errors import (
    Busy,
    Forbidden,
    InternalError,
    InvalidParams,
    MalformedResponse,
    Unauthorized,
    UsageError,
)
from . import audit
from .entries import name_problem, permissions_problem
from .keys import KEY_BYTES, new_key

if TYPE_CHECKING:
    from .exchange import Agreed
    from .keyring import Keyring

logger = logging.getLogger("jsonrpc_iot.trust")

TRY_SECONDS = 10.0
_LONGEST_NAME = 64  # bytes in JSON, so that all messages stay small

Members: TypeAlias = dict[str, str]
"""The params, or the result, of `rpc.pair`."""


class _Try:
    """One try to pair.

    Attributes:
        where: who it is that tries.
        number: counts the tries of a window, from 1.
        deadline: until when it has to be finished.
        message: of the client.
        agreed: what a client with the right code knows, once that is computed.
        reply: the answer to the message.
    """

    def __init__(self, where: str, number: int, deadline: float, message: bytes) -> None:
        self.where = where
        self.number = number
        self.deadline = deadline
        self.message = message
        self.agreed: Agreed | None = None
        self.reply: Members = {}


class _Window:
    """A time in which a device may be paired.

    Attributes:
        ends: when no try may begin any more.
        tries: how many have begun.
        open_try: the one that is not finished.
    """

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.tries = 0
        self.open_try: _Try | None = None


class _Given:
    """A key that was given out, in case the client did not hear it and asks again.

    Attributes:
        where: to whom.
        confirm: what it had sent.
        until: for how long it may ask again.
        reply: the answer.
    """

    def __init__(self, where: str, confirm: bytes, until: float, reply: Members) -> None:
        self.where = where
        self.confirm = confirm
        self.until = until
        self.reply = reply


class Pairing:
    """Gives a key to who knows a code, while the window is open: `serve(…, pairing=…)`.

    The program opens the window, such as when a button is pressed. It closes after a time, one
    success or a number of tries, whichever comes first. Every try is in the audit log.

    Args:
        keyring: gets the new peer, which it knows at once.
        code: at least 8 digits; dashes and spaces are ignored.
        permissions: what the new peer may do.
        seconds: that the window stays open.
        tries: that may begin in one window; one that is not finished after 10 s was wrong.
        clock: gives seconds, from any beginning.

    Raises:
        UsageError: it is no code, or a permission makes no sense.
        MissingExtra: a library is not installed.

    Attributes:
        keyring: as above.
    """

    def __init__(
        self,
        keyring: "Keyring",
        code: str,
        permissions: Sequence[str] = (),
        *,
        seconds: float = 300.0,
        tries: int = 5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from .exchange import digits_of

        if isinstance(permissions, str):
            raise TypeError("permissions are a list of names; a text would be one of its letters")
        if problem := permissions_problem(list(permissions)):
            raise UsageError(problem)
        self.keyring = keyring
        self._code = digits_of(code)
        self._permissions = list(permissions)
        self._seconds = seconds
        self._tries = tries
        self._clock = clock
        self._window: _Window | None = None
        self._given: _Given | None = None
        self._turn = anyio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether a try may begin or be finished."""
        self._settle()
        return self._window is not None

    def open(self) -> None:
        """Open the window, or begin it anew; any thread may do so."""
        self._window = _Window(self._clock() + self._seconds)
        audit.pairing_opened(self._seconds)

    def close(self) -> None:
        """Close the window, also for a try that has begun; any thread may do so."""
        if self._window is not None:
            self._shut("by the program")

    async def answer(
        self, where: str, spake: str | None = None, confirm: str | None = None, name: str = ""
    ) -> Members:
        """Answer a call of `rpc.pair`. The same call again is given the same answer.

        Args:
            where: who calls; both steps have to come from there.
            spake: the message that begins a try.
            confirm: what ends it.
            name: what the caller wants to be called.

        Raises:
            Forbidden: the window is closed.
            Busy: another try has begun; `data` says when that will be over.
            Unauthorized: the code is wrong, or no try has begun.
            InvalidParams: they make no sense, or somebody has that name.
            InternalError: the keyring cannot be written.
        """
        with anyio.CancelScope(shield=True):  # who goes away does not leave half a try
            async with self._turn:
                self._settle()
                if spake is not None:
                    return await self._begin(where, _bytes_of("spake", spake))
                if confirm is not None:
                    return await self._finish(where, _bytes_of("confirm", confirm), name)
        raise InvalidParams(data={"path": "$", "message": "spake is missing, or confirm"})

    async def _begin(self, where: str, message: bytes) -> Members:
        window = self._window
        if window is None:
            raise Forbidden("Pairing is not open")
        if (open_try := window.open_try) is not None:
            if (open_try.where, open_try.message) == (where, message):
                return open_try.reply
            raise self._busy(open_try)
        window.tries += 1
        new = _Try(where, window.tries, self._clock() + TRY_SECONDS, message)
        window.open_try = new
        audit.pairing_tried(where, new.number, "begun")
        try:
            await anyio.to_thread.run_sync(self._compute, new)
        except ValueError as error:
            self._fail(window, new, str(error))
            raise InvalidParams(data={"path": "$.spake", "message": str(error)}) from None
        return new.reply

    def _compute(self, new: _Try) -> None:
        from .exchange import Exchange

        exchange = Exchange(self._code, "device")
        new.agreed = exchange.finish(new.message)
        new.reply = {"spake": _text_of(exchange.message)}

    async def _finish(self, where: str, confirm: bytes, name: str) -> Members:
        given = self._given
        if given is not None and given.where == where and _equal(given.confirm, confirm):
            return given.reply
        window = self._window
        open_try = None if window is None else window.open_try
        if window is None or open_try is None or open_try.agreed is None:
            raise Unauthorized("No try to pair is under way")
        if open_try.where != where:
            raise self._busy(open_try)
        if not _equal(open_try.agreed.client, confirm):
            self._fail(window, open_try, "wrong code")
            raise Unauthorized("Wrong code")
        key = await self._new_key(window, open_try, name)
        agreed = open_try.agreed
        reply = {"confirm": _text_of(agreed.device), "key": _text_of(agreed.seal(key))}
        self._given = _Given(where, confirm, self._clock() + TRY_SECONDS, reply)
        audit.paired(where, name)
        if self._window is window:  # nobody has opened another one
            self._shut("somebody is paired")
        return reply

    async def _new_key(self, window: _Window, open_try: _Try, name: str) -> bytes:
        """A key for the client, which is in the keyring from now on."""
        problem = name_problem("peers", name)
        if name in self.keyring:
            problem = "Somebody else has that name"
        if problem:
            self._fail(window, open_try, "right code, but the name cannot be had")
            raise InvalidParams(data={"path": "$.name", "message": problem})
        key = new_key()
        add = partial(self.keyring.add, name, permissions=self._permissions, key=key)
        try:
            await anyio.to_thread.run_sync(add)
        except UsageError as error:  # `MissingExtra` is one too
            logger.error("pairing: %s", error)
            self._fail(window, open_try, "right code, but the keyring cannot be written")
            raise InternalError from None
        return key

    def _busy(self, open_try: _Try) -> Busy:
        return Busy(data={"retry_after": round(max(0.1, open_try.deadline - self._clock()), 1)})

    def _fail(self, window: _Window, open_try: _Try, outcome: str) -> None:
        audit.pairing_tried(open_try.where, open_try.number, outcome)
        window.open_try = None
        if window is self._window and window.tries >= self._tries:
            self._shut(f"{window.tries} tries have failed")

    def _settle(self) -> None:
        """Have time pass: nothing else looks at the clock."""
        now = self._clock()
        if self._given is not None and now >= self._given.until:
            self._given = None
        window = self._window
        if window is None:
            return
        if window.open_try is not None and now >= window.open_try.deadline:
            self._fail(window, window.open_try, f"not finished within {TRY_SECONDS:g} s")
        if self._window is window and window.open_try is None and now >= window.ends:
            self._shut("its time is over")

    def _shut(self, reason: str) -> None:
        self._window = None
        audit.pairing_closed(reason)


async def pair(call: Callable[[Members], Awaitable[Members]], code: str, name: str) -> bytes:
    """Get a key from a device that is open for pairing.

    Args:
        call: calls its `rpc.pair`, with these params.
        code: that of the device.
        name: what to be called there.

    Returns:
        The key.

    Raises:
        UsageError: it is no code, or the name is too long or makes no sense.
        Unauthorized: the code is wrong, at either end.
        RpcError: the device refuses for another reason; see `Pairing.answer`.
        MalformedResponse: the other end answers with something else.
        MissingExtra: a library is not installed.
    """
    from .exchange import Exchange

    if problem := name_problem("peers", name):
        raise UsageError(problem)
    if len(msgspec.json.encode(name)) - 2 > _LONGEST_NAME:
        raise UsageError(f"the name is longer than {_LONGEST_NAME} bytes")
    exchange = await anyio.to_thread.run_sync(Exchange, code, "client")
    reply = await call({"spake": _text_of(exchange.message)})
    try:
        message = b64decode(reply["spake"], validate=True)
        agreed = await anyio.to_thread.run_sync(exchange.finish, message)
    except (KeyError, ValueError) as error:
        raise MalformedResponse(f"rpc.pair: {error!r}") from None
    reply = await call({"confirm": _text_of(agreed.client), "name": name})
    try:
        confirm, sealed = (b64decode(reply[each], validate=True) for each in ("confirm", "key"))
    except (KeyError, ValueError) as error:
        raise MalformedResponse(f"rpc.pair: {error!r}") from None
    if not _equal(confirm, agreed.device):
        raise Unauthorized("The other end does not know the code")
    key = agreed.open(sealed)
    if key is None or len(key) != KEY_BYTES:
        raise MalformedResponse("rpc.pair: the key cannot be read")
    return key


def _equal(one: bytes, other: bytes) -> bool:
    return hmac.compare_digest(one, other)


def _text_of(data: bytes) -> str:
    return b64encode(data).decode()


def _bytes_of(member: str, text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        problem = "Base64 is expected"
        raise InvalidParams(data={"path": f"$.{member}", "message": problem}) from None
