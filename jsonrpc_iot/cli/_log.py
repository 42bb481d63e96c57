"""The log on standard error: as people read it, or one JSON object a line for programs."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Annotated

from jsonrpc_iot import UsageError
from jsonrpc_iot.channel.terminal import TerminalFormatter
from jsonrpc_iot.protocol.about import ABOUT
from jsonrpc_iot.protocol.text import escape_json

from .command.declare import Option

_ERRORS_FOR_NOW = logging.ERROR - 1

TRACE = "jsonrpc_iot.cli.trace"
"""The logger of messages and frames, where the log is JSON."""


class JsonFormatter(logging.Formatter):
    """Makes one line of JSON of a record, ASCII alone; the time is that of RFC 3339, in UTC.

    Args:
        node: of the process, where several write one log.
    """

    def __init__(self, node: str = "") -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """The record as an object."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        members = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            **({"node": self._node} if self._node else {}),
            "logger": record.name,
            "message": record.getMessage(),
        }
        members |= {name: value for name in ABOUT if (value := getattr(record, name, None))}
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return escape_json(json.dumps(members))


def log_as_told(
    verbose: Annotated[
        bool,
        Option("--verbose", "-v", help="Show the whole log on standard error."),
    ] = False,
    quiet: Annotated[
        bool, Option("--quiet", "-q", help="Show errors alone, and no warnings.")
    ] = False,
    log_json: Annotated[
        bool,
        Option(
            "--log-json",
            help="Write the log as one JSON object a line: time, level, logger, message and, where "
            "they are known, peer, method, principal and exception.",
        ),
    ] = False,
) -> None:
    """Show the log on standard error: that of the package; as JSON all that the program logs.

    That is errors, unless somebody has said what; see `show_warnings`.

    Args:
        verbose: all of it.
        quiet: errors, and from servers no warnings.
        log_json: one object a line.

    Raises:
        UsageError: it is to be both.
    """
    if verbose and quiet:
        raise UsageError("--verbose and --quiet contradict each other")
    level = logging.DEBUG if verbose else logging.ERROR if quiet else _ERRORS_FOR_NOW
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_json else TerminalFormatter())
    log = logging.getLogger("jsonrpc_iot")
    log.setLevel(level)
    if log_json:
        logging.captureWarnings(True)
        logging.getLogger(TRACE).setLevel(logging.DEBUG)
        logging.root.setLevel(max(level, logging.INFO))
        log = logging.root
    log.addHandler(handler)


def show_warnings() -> None:
    """Show warnings too, unless somebody has said what to show: there is nobody to return to.

    Others say in the end what went wrong, in one line.
    """
    for logger in logging.getLogger("jsonrpc_iot"), logging.root:
        if logger.level == _ERRORS_FOR_NOW:
            logger.setLevel(logging.WARNING)


def is_quiet() -> bool:
    """Whether somebody has said that errors are enough."""
    return logging.getLogger("jsonrpc_iot").level == logging.ERROR


def is_verbose() -> bool:
    """Whether the whole log is shown."""
    return logging.getLogger("jsonrpc_iot").isEnabledFor(logging.DEBUG)


def name_log(node: str) -> None:
    """Have each line of the log say which of several processes writes it."""
    for log in logging.root, logging.getLogger("jsonrpc_iot"):
        for handler in log.handlers:
            if isinstance(handler.formatter, JsonFormatter):
                handler.setFormatter(JsonFormatter(node))
            elif isinstance(handler.formatter, TerminalFormatter):
                handler.setFormatter(TerminalFormatter(node))


def is_json() -> bool:
    """Whether the log, and so all that stands on standard error, is JSON."""
    return any(isinstance(each.formatter, JsonFormatter) for each in logging.root.handlers)
