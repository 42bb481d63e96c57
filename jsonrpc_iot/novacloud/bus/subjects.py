"""Subjects of hints, and patterns of subjects, both as NATS has them.

https://docs.nats.io/nats-concepts/subjects
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import quote

MOST_CHARACTERS = 512

_LONGEST_TOKEN = 120
_TOKEN = r"[!-)+\-/-=?-~]+"  # printable ASCII but for `*`, `.` and `>`
_SUBJECT = re.compile(rf"{_TOKEN}(?:\.{_TOKEN})*")
_PATTERN = re.compile(rf"(?:(?:{_TOKEN}|\*)\.)*(?:{_TOKEN}|\*|>)")


def subject(*tokens: str) -> str:
    """A subject of a few tokens that may be any texts, as names of nodes are: they are escaped."""
    return ".".join(map(_token, tokens))


def _token(text: str) -> str:
    token = quote(text, safe="", errors="surrogatepass").replace(".", "%2E") or "%"
    if len(token) <= _LONGEST_TOKEN:
        return token
    digest = sha256(token.encode()).hexdigest()
    return f"{token[: _LONGEST_TOKEN - 33]}~{digest[:32]}"


def is_subject(text: str) -> bool:
    """Whether hints can have it."""
    return len(text) <= MOST_CHARACTERS and _SUBJECT.fullmatch(text) is not None


def check_subject(text: str) -> None:
    """Refuse what is no subject.

    Raises:
        ValueError: it is none.
    """
    if not is_subject(text):
        raise ValueError(
            f"{text[:MOST_CHARACTERS]!r} is no subject: tokens with dots between them, of "
            f"printable ASCII without '*' and '>', {MOST_CHARACTERS} characters in all"
        )


def check_pattern(text: str) -> None:
    """Refuse what is no pattern.

    Raises:
        ValueError: it is none.
    """
    if len(text) > MOST_CHARACTERS or _PATTERN.fullmatch(text) is None:
        raise ValueError(
            f"{text[:MOST_CHARACTERS]!r} is no pattern: a subject whose tokens may be '*' and "
            "whose last one may be '>'"
        )


def fits(tokens: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a subject fits a pattern, each given as its tokens."""
    if pattern[-1] == ">":
        pattern = pattern[:-1]
        if len(tokens) <= len(pattern):
            return False
    elif len(tokens) != len(pattern):
        return False
    return all(wanted in ("*", token) for token, wanted in zip(tokens, pattern, strict=False))
