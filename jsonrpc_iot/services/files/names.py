"""Which names files may have: plain ones, the same on every system, and within the root."""

import unicodedata
from pathlib import Path

from .interface import NotAllowed

MAX_NAME_BYTES = 512
MAX_PART_BYTES = 200

_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"}
_DEVICES |= {f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"}
_ELSEWHERE = set('\\:*?"<>|')  # what separates, or means something else, on other systems


def problem(name: str) -> str | None:
    """Why a file may not have a name, `None` where it may.

    Folders stand before it with `/` between. No part begins with a dot, so that what is hidden
    stays out of reach, and none is one that Windows takes for something else.

    Args:
        name: as a caller gives it.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is no text in UTF-8"
    if not 1 <= size <= MAX_NAME_BYTES:
        return f"a name has 1 to {MAX_NAME_BYTES} bytes"
    return next(filter(None, map(_problem_of_part, name.split("/"))), None)


def _problem_of_part(part: str) -> str | None:
    if not part:
        return "it has an empty part"
    if len(part.encode()) > MAX_PART_BYTES:
        return f"a part has more than {MAX_PART_BYTES} bytes"
    if part.startswith("."):
        return "a part begins with a dot"
    if part[-1] in ". " or part[0] == " ":
        return "a part begins or ends with a space, or ends with a dot"
    if any(character in _ELSEWHERE or _steers(character) for character in part):
        return "it has a character that names cannot have everywhere"
    if part.partition(".")[0].rstrip(" ").lower() in _DEVICES:
        return "it is a device on Windows"
    return None


def _steers(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"}


def place_of(root: Path, name: str) -> Path:
    """Where a file of that name is, or would be, in a folder.

    Args:
        root: the folder, resolved.
        name: as a caller gives it.

    Raises:
        NotAllowed: it is no plain name, or a link leads out of the folder on the way there, or to
            what is hidden. (Windows has such links by itself: `SECRET~1` is `.secretly`.)
    """
    if (why := problem(name)) is not None:
        raise NotAllowed(data={"path": "$.name", "message": why})
    place = root.joinpath(*name.split("/"))
    try:
        within = place.resolve().relative_to(root)
    except (OSError, RuntimeError, ValueError):  # links in a circle; elsewhere
        raise NotAllowed(data={"path": "$.name", "message": "it leads out of the folder"}) from None
    if any(part.startswith(".") for part in within.parts):
        raise NotAllowed(data={"path": "$.name", "message": "it leads to what is hidden"})
    return place
