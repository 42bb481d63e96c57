"""Whom and what a log line is about, as fields that programs can search for."""

from .text import escape

ABOUT = ("peer", "method", "principal")
"""The fields that lines of the log may have: the `extra` of their records."""

_SHOWN = 200  # characters of what strangers send


def about(
    peer: object = None, method: str | None = None, principal: str | None = None
) -> dict[str, str]:
    """The fields of a log line, as `extra`, escaped like the line; what is not known is left out.

    Args:
        peer: the other end: its address without secrets, or a device by its name.
        method: what was called, or notified of.
        principal: the name of who called.
    """
    found = {"peer": peer, "method": method, "principal": principal}
    return {name: escape(str(value)[:_SHOWN]) for name, value in found.items() if value}
