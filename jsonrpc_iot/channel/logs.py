"""What strangers can do to a log: nothing but be named in lines that are ours.

Texts of the other end stand in log lines, in those of exceptions too. Each record of the package
is one line, or one and the traceback below it, whatever is in such a text; and what can be made to
happen at will is not logged without end.
"""

import logging
import re
import time
import traceback
from collections.abc import Iterator

from ..protocol.text import STEERING, escape, escaped

LOGGERS = (
    "audit",
    "blocking",
    "cli",
    "cli.devices",
    "client",
    "dispatcher",
    "firmware",
    "gateway",
    "gateway.homeassistant",
    "gateway.mcp",
    "http",
    "novacloud",
    "peer",
    "server",
    "transports",
    "transports.websocket.frames",
    "trust",
    "tuya",
    "wifi",
)
"""The names of the package's loggers, below its own."""

_STEERING_IN_LINES = re.compile(f"[\x00-\x08\x0b-\x1f{STEERING}\ud800-\udfff]")
_MOST = 100
_MOST_OF_HANDLERS = 10_000  # these are the application's own, and it wants to know
_MOST_SECONDS = 60.0


def guard() -> None:
    """Put a `Guard` on each of the package's loggers, once."""
    for name in LOGGERS:
        logger = logging.getLogger(f"jsonrpc_iot.{name}")
        if not any(isinstance(each, Guard) for each in logger.filters):
            logger.addFilter(Guard(_MOST_OF_HANDLERS if name == "dispatcher" else _MOST))


class Guard(logging.Filter):
    """Escapes what would steer a terminal or begin a line, and lets few of a kind pass a minute.

    Args:
        most: warnings and errors with the same format that pass.
    """

    def __init__(self, most: int = _MOST) -> None:
        super().__init__()
        self._most = most
        self._passed: dict[str, tuple[float, int]] = {}

    def forget(self) -> None:
        """Count anew."""
        self._passed.clear()

    def filter(self, record: logging.LogRecord) -> bool:
        """Make a record harmless; says whether it is to be logged."""
        left_out = 0
        if record.levelno >= logging.WARNING:
            begun, count = self._passed.get(record.msg, (0.0, 0))
            now = time.monotonic()
            if count and now - begun > _MOST_SECONDS:
                left_out, count = max(0, count - self._most), 0
            self._passed[record.msg] = (begun if count else now, count + 1)
            if count >= self._most:
                return False
        text = record.getMessage() + f" ({left_out} more were left out)" * (left_out > 0)
        if left_out or not text.isprintable():
            record.msg, record.args = escape(text), ()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not record.exc_text:
            record.exc_text = _format(error)
        return True


def _format(error: BaseException) -> str | None:
    """A traceback in which the texts of the exceptions are escaped; `None` if they need not be."""
    texts = [text for each in _chain(error) if not (text := _text(each)).isprintable()]
    if not texts:
        return None
    lines = "".join(traceback.format_exception(error)).rstrip("\n")
    for text in sorted(texts, key=len, reverse=True):
        lines = lines.replace(text, escape(text))
    return _STEERING_IN_LINES.sub(escaped, lines)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that are shown with it."""
    todo: list[BaseException | None] = [error]
    seen: set[int] = set()
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        todo += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            todo += each.exceptions


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # the exception's own code runs
        return ""
