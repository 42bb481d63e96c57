"""Cases of several steps: what is sent next depends on what has come."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio

from .answer import Answer
from .device import Given
from .exchange import Exchange
from .line import value_of
from .model import Unchecked

if TYPE_CHECKING:
    from .posts import Posts


class Talk:
    """A dialogue with a device, which keeps what was said.

    Args:
        exchange: with the device.

    Attributes:
        sent: all that was sent.
        received: all that has come.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.sent: list[bytes] = []
        self.received: list[bytes] = []
        self._begin = 0
        exchange.line.pushed.clear()

    @property
    def is_lossy(self) -> bool:
        """Whether messages may get lost."""
        return not self._exchange.device.info.reliable

    async def send(self, *messages: bytes) -> None:
        """Send messages, one right behind the other."""
        for message in messages:
            self.sent.append(message)
            await self._exchange.line.send(message)

    def forget(self) -> None:
        """Begin anew to look at what comes, which may be the same again."""
        self._begin = len(self.received)
        self._exchange.repeats(self.received)

    async def settle(self) -> None:
        """Wait for the answer to a call, before which comes all that was on its way.

        Raises:
            Unchecked: the device does not answer.
        """
        if not await self._exchange.is_there(self.received):
            raise Unchecked("fail", "the device does not answer any more")

    async def call(self, call: Given, more: str = "") -> Mapping[str, Any] | None:
        """Call a method; the answer, if one comes."""
        id = next(self._exchange.device.ids)
        await self.send(self._exchange.device.request(id, call, more))
        return await self.answer(id)

    async def answer(self, id: int, extra: float = 0) -> Mapping[str, Any] | None:
        """The answer to a request, if one comes.

        Args:
            id: of the request.
            extra: seconds that it takes beyond those that any answer may take.
        """
        for _ in range(len(self.received) + 1, _MOST):
            if found := self.answers(id):
                return found[0]
            before = len(self.received)
            await self._exchange.gather(self.received, before + 1, self._exchange.timeout + extra)
            if len(self.received) == before:
                return None
        return None

    async def hear(self, count: int, method: str = "") -> None:
        """Wait until so many notifications of a name have come, or no answer would take so long."""
        with anyio.move_on_after(self._exchange.timeout):
            while len(self.pushed(method)) < count:
                await self._take_in(_STEP_SECONDS)

    async def linger(self) -> None:
        """Take in what comes for a moment."""
        with anyio.move_on_after(self._exchange.patience):
            while True:
                await self._take_in(self._exchange.patience)

    async def _take_in(self, seconds: float) -> None:
        await self._exchange.gather(self.received, len(self.received) + 1, seconds)

    def answers(self, id: int) -> list[Mapping[str, Any]]:
        """All answers to a request so far."""
        values = map(value_of, self.received[self._begin :])
        return [each for each in values if isinstance(each, dict) and each.get("id") == id]

    def pushed(self, method: str = "") -> list[Any]:
        """The notifications of this name that have come; of all names without one."""
        values = [value_of(message) for message in self._exchange.line.pushed]
        notes = [each for each in values if isinstance(each, dict)]
        return [each for each in notes if method in ("", each["method"])]

    async def ask(self, verb: str, place: str = "", **more: Any) -> Answer:
        """Make a request of HTTP; see `Posts.ask`."""
        channel = self._posts
        headers = more.get("headers", {})
        shown = "; ".join(f"{name}: {value}" for name, value in headers.items())
        head = f"{verb} {channel.path}{place} ({shown}) "
        self.sent.append(head.encode() + more.get("body", b""))
        answer = await channel.ask(verb, place, **more)
        self.received.append(answer.shown)
        return answer

    async def announce(self, size: int) -> Answer:
        """Say how large a body is, and send none; see `Posts.announce`."""
        self.sent.append(f"POST {self._posts.path} (content-length: {size})".encode())
        answer = await self._posts.announce(size, self._exchange.timeout)
        self.received.append(answer.shown)
        return answer

    @property
    def _posts(self) -> "Posts":
        from .posts import Posts  # which needs an extra

        channel = self._exchange.line.channel
        assert isinstance(channel, Posts)
        return channel


def code_of(answer: Mapping[str, Any] | None) -> object:
    """The code of the error that an answer is; `None` for others."""
    error = (answer or {}).get("error")
    return error.get("code") if isinstance(error, dict) else None


_STEP_SECONDS = 0.01

_MOST = 1000
"""Messages of one case, at the most."""
