"""The log on standard error: as people read it, or one JSON object a line for programs."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from jsonrpc_iot.channel.terminal import TerminalFormatter
from jsonrpc_iot.protocol.text import escape_json

from .command.declare import Option

VerboseOption: TypeAlias = Annotated[
    bool,
    Option("--verbose", "-v", help="Show the whole log on standard error, not only warnings."),
]
LogJsonOption: TypeAlias = Annotated[
    bool,
    Option(
        "--log-json",
        help="Write the log as one JSON object a line: time, level, logger, message and, where "
        "there is one, exception.",
    ),
]

TRACE = "jsonrpc_iot.cli.trace"
"""The logger of messages and frames, where the log is JSON."""


class JsonFormatter(logging.Formatter):
    """Makes one line of JSON of a record, ASCII alone; the time is that of RFC 3339, in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as an object."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        members = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return escape_json(json.dumps(members))


def start_log(*, verbose: bool, as_json: bool = False) -> None:
    """Show the log on standard error: that of the package; as JSON all that the program logs.

    Args:
        verbose: all of it, not only warnings.
        as_json: one object a line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TerminalFormatter())
    log = logging.getLogger("jsonrpc_iot")
    log.setLevel(logging.DEBUG if verbose else logging.WARNING)
    if as_json:
        logging.captureWarnings(True)
        logging.getLogger(TRACE).setLevel(logging.DEBUG)
        logging.root.setLevel(logging.INFO if verbose else logging.WARNING)
        log = logging.root
    log.addHandler(handler)


def is_json() -> bool:
    """Whether the log, and so all that stands on standard error, is JSON."""
    return any(isinstance(each.formatter, JsonFormatter) for each in logging.root.handlers)
