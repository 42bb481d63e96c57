"""Sends to a device and gathers what it answers, without what the link has doubled or held up."""

from collections.abc import Sequence
from typing import Final

from .device import Device
from .line import Line, value_of

TRIES: Final = 5
"""How often what may have been lost is sent on a link that loses messages."""

_NO_ID = str(None)

_PATIENCE = 0.25
"""Seconds for an answer before the next call is sent behind the request; slow links take more."""


class Exchange:
    """What goes to and fro between the tester and a device.

    Args:
        line: to the device.
        device: is known.
        timeout: seconds that an answer may take.

    Attributes:
        line: the same.
        device: the same.
        timeout: the same.
        patience: seconds for an answer before something else is sent behind the request.
        tries: how often a case that goes wrong is sent.
    """

    def __init__(self, line: Line, device: Device, timeout: float) -> None:
        self.line = line
        self.device = device
        self.timeout = timeout
        slow = device.info.retry_seconds_per_byte * (device.info.max_message or 0)
        self.patience = min(_PATIENCE + slow, timeout)
        self.tries = 1 if device.info.reliable else TRIES
        self._asked = set[str]()
        self._judged = set[bytes]()
        self._open = set[str]()  # ids of what was sent last: some cases share one
        self._doubled_from = 0  # in what was received: those before may come again

    def expect(self, sent: Sequence[bytes]) -> None:
        """An answer to these is not late, though it may be like one that has been judged."""
        self._open = set(map(_id_of, sent))

    def repeats(self, received: Sequence[bytes]) -> None:
        """From now on what has come may come again."""
        self._doubled_from = len(received)

    def judge(self, received: Sequence[bytes]) -> None:
        """These have been judged: who comes again is late."""
        self._judged.update(received)
        self._doubled_from = 0

    async def gather(self, received: list[bytes], wanted: int, seconds: float) -> None:
        """Receive until there is as much as is wanted, or nothing comes for so long."""
        while len(received) < wanted:
            message = await self.line.receive(seconds)
            if message is None:
                return
            self._take(message, received)

    async def is_there(self, received: list[bytes]) -> bool:
        """Whether a call is answered; all else that comes meanwhile is put into `received`."""
        ids = set[str]()
        for _ in range(self.tries):
            id = next(self.device.ids)
            ids.add(str(id))
            self._asked.add(str(id))
            await self.line.send(self.device.request(id))
            while (message := await self.line.receive(self.timeout)) is not None:
                if _id_of(message) in ids:
                    return True
                self._take(message, received)
        return False

    def _take(self, message: bytes, received: list[bytes]) -> None:
        """Put a message into `received`, unless it is one that the link has doubled or held up."""
        id = _id_of(message)
        was_judged = id not in (_NO_ID, *self._open) and message in self._judged
        is_late = id in self._asked or was_judged
        is_known = is_late or message in received[self._doubled_from :]
        if self.device.info.reliable or not is_known:
            received.append(message)


def _id_of(message: bytes) -> str:
    value = value_of(message)
    return str(value.get("id")) if isinstance(value, dict) else _NO_ID
