"""A program's log on its way to the platform: in statuses of bounded size, one at a time.

A log is an aid: it must not cost reports their place in the outbox. So as long as the device is not
connected records wait here, and those beyond a few are counted and no more.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from threading import Lock
from typing import Any, TypeAlias

import anyio
import msgspec

from jsonrpc_iot import JsonRpcIotError, UsageError

logger = logging.getLogger("jsonrpc_iot.novacloud")

Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[object]]

_LONGEST = 1000  # characters of a message
_LONGEST_NAME = 100


class DeviceLogHandler(logging.Handler):
    """Sends log records to a device's platform; `NovaDevice.log_handler` makes one.

    It may be called from any thread, and never waits. What the device itself logs is left out.

    Args:
        level: the least level that is sent.
        seconds: between two statuses, at least.
        records: that may wait; those beyond are dropped.
        size: bytes of the records of one status, roughly.
        mask: blacks out what must be in no log.

    Raises:
        UsageError: a bound is not above 0.

    Attributes:
        dropped: records that were not sent, for want of room here or in the outbox.
    """

    def __init__(
        self, level: int, seconds: float, records: int, size: int, mask: Callable[[str], str]
    ) -> None:
        if not min(seconds, records, size) > 0:  # NaN too
            raise UsageError("seconds, records, size: numbers above 0 are needed")
        super().__init__(level)
        self._seconds = seconds
        self._records = records
        self._size = size
        self._mask = mask
        self._waiting: deque[dict[str, Any]] = deque()
        self._guard = Lock()
        self._is_closed = False
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record sent."""
        if f"{record.name}.".startswith(f"{logger.name}."):  # sending would go on for ever
            return
        with self._guard:
            if len(self._waiting) >= self._records:
                self.dropped += 1
                return
        try:
            message = _shortened(self._mask(self.format(record)))
        except Exception:  # noqa: BLE001  # the program's own code runs, as in any handler
            self.handleError(record)
            return
        entry = {
            "at": round(record.created, 3),
            "level": record.levelname[:_LONGEST_NAME],
            "logger": record.name[:_LONGEST_NAME],
            "message": message,
        }
        with self._guard:
            self._waiting.append(entry)

    def close(self) -> None:
        """Send no more."""
        self._is_closed = True
        super().close()

    async def run(self, is_connected: Callable[[], bool], send: Send) -> None:
        """Send what waits now and then, while there is a connection."""
        while not self._is_closed:
            await anyio.sleep(self._seconds)
            if is_connected():
                await self.send(send)

    async def send(self, send: Send) -> None:
        """Send what fits one status, if anything waits."""
        records = self._take()
        if not records:
            return
        status: dict[str, Any] = {"log": records}
        if self.dropped:
            status["log_dropped"] = self.dropped
        try:
            await send(status)
        except JsonRpcIotError as error:  # a full disk, or lines that are set very short
            logger.warning("%d log records are dropped: %s", len(records), error)
            with self._guard:
                self.dropped += len(records)

    def _take(self) -> list[dict[str, Any]]:
        """The oldest records, as many as fit one status."""
        taken: list[dict[str, Any]] = []
        room = self._size
        with self._guard:
            while self._waiting:
                room -= len(msgspec.json.encode(self._waiting[0]))
                if room < 0 and taken:
                    break
                taken.append(self._waiting.popleft())
        return taken


def _shortened(text: str) -> str:
    """A text that is not too long, without halves of characters: its beginning and its end."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
    return text.encode(errors="replace").decode()
