"""Secrets that a URL names: where they are, not what they are."""

import os
from pathlib import Path

from ..channel.url import Url

_SECRETS = ("psk", "token", "password")
"""The options that are secrets, in all URLs that have any."""


def read_secret(url: Url, name: str) -> str | None:
    """The secret of an option, from the environment (`env:NAME`) or a file (`file:PATH`).

    Args:
        url: has the option or not.
        name: the option's.

    Returns:
        The secret, `None` without the option.

    Raises:
        InvalidUrl: the option is neither, or there is no such variable or file, or it is empty.
    """
    text = url.options.get(name)
    if text is None:
        return None
    check_place(url, name)
    kind, _, place = text.partition(":")
    if kind == "env":
        if not (secret := os.environ.get(place)):
            raise url.error(f"{name}: the environment has no {place}")
        return secret
    try:
        secret = Path(place).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError, ValueError) as error:
        problem = getattr(error, "strerror", None) or error
        raise url.error(f"{name}: cannot read {place}: {problem}") from error
    if not secret:
        raise url.error(f"{name}: {place} is empty")
    return secret


def check_place(url: Url, name: str) -> None:
    """Refuse an option that is there, and names no place of a secret; raises `InvalidUrl`."""
    kind, _, place = url.options.get(name, "env:NAME").partition(":")
    if kind not in ("env", "file") or not place:
        raise url.error(f"give the {name} as ?{name}=env:NAME or file:PATH")


def check_secrets(url: str) -> None:
    """Refuse a URL that names a secret which is not there, as `read_secret` does."""
    parsed = Url.parse(url)
    for name in _SECRETS:
        read_secret(parsed, name)
