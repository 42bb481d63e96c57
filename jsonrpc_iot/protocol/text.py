"""Text from the other end, made fit to be shown to people and to be logged."""

import re

# Characters that steer a terminal, or that hide or reorder what it shows: DEL and C1, the marks and
# embeddings of bidirectional text, separators of lines. C0 and surrogates cannot stand in JSON.
STEERING = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"

_STEERING_IN_JSON = re.compile(f"[{STEERING}]")
_STEERING_IN_LOG = re.compile(f"[\x00-\x09\x0b-\x1f{STEERING}\ud800-\udfff]")
_STEERING_IN_TEXT = re.compile(f"[\x00-\x1f{STEERING}\ud800-\udfff]")
_SHOWN_BYTES = 80


def escape(text: str) -> str:
    r"""Replace what steers a terminal by escapes such as `\u001b`, line breaks included."""
    return _STEERING_IN_TEXT.sub(escaped, text)


def escape_log(text: str) -> str:
    """Like `escape`, but keeps line feeds."""
    return _STEERING_IN_LOG.sub(escaped, text)


def escape_json(text: str) -> str:
    """Replace what steers a terminal in a JSON text by JSON's own escapes."""
    return _STEERING_IN_JSON.sub(escaped, text)


def escaped(match: re.Match[str]) -> str:
    """The escape of a character that was found."""
    return f"\\u{ord(match[0]):04x}"


def excerpt(data: bytes) -> str:
    """The beginning of what arrived, escaped."""
    rest = "…" if len(data) > _SHOWN_BYTES else ""
    return escape(data[:_SHOWN_BYTES].decode(errors="backslashreplace")) + rest
