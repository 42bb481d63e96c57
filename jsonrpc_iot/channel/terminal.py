"""The log as a terminal shows it."""

import logging

from ..protocol.text import escape_log


class TerminalFormatter(logging.Formatter):
    """Escapes what peers and handlers have put into the log.

    Args:
        name: of the process, where several write to one terminal.
    """

    def __init__(self, name: str = "") -> None:
        start = f"jsonrpc-iot: {name}: " if name else "jsonrpc-iot: "
        super().__init__(start.replace("%", "%%") + "%(levelname)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, with the line breaks of tracebacks."""
        return escape_log(super().format(record))
