"""The log as a terminal shows it."""

import logging

from ..protocol.text import escape_log


class TerminalFormatter(logging.Formatter):
    """Escapes what peers and handlers have put into the log."""

    def __init__(self) -> None:
        super().__init__("jsonrpc-iot: %(levelname)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, with the line breaks of tracebacks."""
        return escape_log(super().format(record))
