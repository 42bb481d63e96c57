"""Text of strangers on a terminal and in the log that it shows: escaped, lest it steer that."""

import logging
import re

# Characters that steer a terminal, or that hide or reorder what it shows: DEL and C1, the marks and
# embeddings of bidirectional text, separators of lines. C0 and surrogates cannot stand in JSON.
_STEERING = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_STEERING_IN_JSON = re.compile(f"[{_STEERING}]")
_STEERING_IN_TEXT = re.compile(f"[\x00-\x1f{_STEERING}\ud800-\udfff]")
_STEERING_IN_LOG = re.compile(f"[\x00-\x09\x0b-\x1f{_STEERING}\ud800-\udfff]")


class TerminalFormatter(logging.Formatter):
    """Escapes what peers and handlers have put into the log."""

    def __init__(self) -> None:
        super().__init__("jsonrpc-iot: %(levelname)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, with the line breaks of tracebacks."""
        return escape_log(super().format(record))


def escape(text: str) -> str:
    r"""Replace what steers a terminal by escapes such as `\u001b`, line breaks included."""
    return _STEERING_IN_TEXT.sub(_escaped, text)


def escape_log(text: str) -> str:
    """Like `escape`, but keeps line feeds."""
    return _STEERING_IN_LOG.sub(_escaped, text)


def escape_json(text: str) -> str:
    """Replace what steers a terminal in a JSON text by JSON's own escapes."""
    return _STEERING_IN_JSON.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
