"""The trace that a request belongs to, as the request member `traceparent` has it.

Source: W3C Trace Context, section 3.2: a version, the trace, the span that sent the request, flags.
"""

import re
from typing import Final

_MEMBER: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<ids>[0-9a-f]{32}-[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?",
    re.DOTALL,
)
_VERSION: Final = "00"
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_SAMPLED: Final = 1


def read_traceparent(text: object) -> str | None:
    """The value that counts and may be passed on, `None` where it is none.

    What a later version of the standard has written is read as far as this one knows it.

    Args:
        text: the value as it came.
    """
    found = _MEMBER.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    version, ids, flags = found["version"], found["ids"], found["flags"]
    trace, _, span = ids.partition("-")
    if trace == _NO_TRACE or span == _NO_SPAN or version == "ff":
        return None
    if version == _VERSION:
        return None if found["more"] else found[0]
    return f"{_VERSION}-{ids}-{int(flags, 16) & _SAMPLED:02x}"
