"""Where a device's key comes from, and how it stays out of sight."""

import json
import logging
import os
import sys
import tomllib
from pathlib import Path

from jsonrpc_iot import UsageError

logger = logging.getLogger("jsonrpc_iot.novacloud")

VARIABLE = "NOVACLOUD_DEVICE_KEY"
_MEMBER = "device_key"
_LONGEST_FILE = 1 << 16


class Secret:
    """A text that shows itself only when asked to."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text."""
        return self._text

    def mask(self, text: str) -> str:
        """Another text with this one blacked out, also where it is part of a JSON text."""
        if not self._text:
            return text
        escaped = json.dumps(self._text)[1:-1]
        return text.replace(self._text, "***").replace(escaped, "***")

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not to be pickled")


def find_key(given: str | Path | None, *, is_needed: bool = True) -> Secret:
    """The key: as given, from a file, or from the environment variable NOVACLOUD_DEVICE_KEY.

    Args:
        given: the key, or the path of a TOML file with `device_key = "..."` or of one with nothing
            but the key.
        is_needed: where it is not, and nothing is given, the key may be empty.

    Raises:
        UsageError: there is none; the text quotes nothing that might be one.
    """
    if isinstance(given, Path):
        key = _read(given)
        where = f"{given}: "
    else:
        key = given if given is not None else os.environ.get(VARIABLE, "")
        where = ""
    if not key and (is_needed or given is not None):
        raise UsageError(
            f"{where}no device key: give one, name a TOML file with {_MEMBER}, or set {VARIABLE}"
        )
    return Secret(key)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            if sys.platform != "win32" and os.fstat(file.fileno()).st_mode & 0o077:
                logger.warning("%s holds a key, and others may read it: chmod 600", path)
            text = file.read(_LONGEST_FILE).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8") from None
    bare = text.strip()
    if bare and not any(character in bare for character in " \t\r\n=[]#\"'"):
        return bare
    try:
        key = tomllib.loads(text).get(_MEMBER, "")
    except tomllib.TOMLDecodeError:  # whose text may quote the file
        raise UsageError(f"{path}: not valid TOML") from None
    if not isinstance(key, str):
        raise UsageError(f"{path}: {_MEMBER} is not a text")
    return key
