"""A platform's settings in a file: TOML whose keys are the fields of `PlatformSettings`."""

import re
import tomllib
from difflib import get_close_matches
from math import isfinite
from pathlib import Path

import msgspec

from jsonrpc_iot import UsageError

from .settings import PlatformSettings

_LONGEST_FILE = 1 << 20
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_MEMBER = re.compile(r" - at `\$\.(\w+).*`$")
_FIELDS = PlatformSettings.__struct_fields__


def read_settings(path: Path) -> PlatformSettings:
    """Read a file; what it does not name is as by default.

    Raises:
        UsageError: it cannot be read, or has a mistake; the text names the file and the line.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST_FILE + 1).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8") from None
    if len(text) > _LONGEST_FILE:
        raise UsageError(f"{path}: larger than {_LONGEST_FILE >> 20} MiB")
    try:
        members = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        place = _PLACE.search(str(error))
        line = (place and place[1]) or text.rstrip().count("\n") + 1
        problem = _PLACE.sub("", str(error)) or type(error).__name__
        raise UsageError(f"{path}, line {line}: not valid TOML: {problem}") from None
    for name, value in members.items():
        if name not in _FIELDS:
            raise UsageError(f"{_where(path, text, name)}: {_unknown(name)}")
        if isinstance(value, float) and not isfinite(value):
            raise UsageError(f"{_where(path, text, name)}: {name} has to be finite")
    try:
        return msgspec.convert(members, PlatformSettings)
    except msgspec.ValidationError as error:
        member = _MEMBER.search(str(error))
        name = member[1] if member else ""
        problem = _MEMBER.sub("", str(error)).replace("Expected", "expected", 1)
        raise UsageError(f"{_where(path, text, name)}: {name}: {problem}") from None


def _where(path: Path, text: str, name: str) -> str:
    """The file, and the line in which a member begins; the file alone if that is not plain."""
    pattern = re.compile(rf"""^\s*\[*\s*["']?{re.escape(name)}["']?\s*[\].=]""")
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.match(line):
            return f"{path}, line {number}"
    return str(path)


def _unknown(name: str) -> str:
    near = get_close_matches(name, _FIELDS, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"there is no setting {name!r}; {hint}There are {', '.join(sorted(_FIELDS))}"
