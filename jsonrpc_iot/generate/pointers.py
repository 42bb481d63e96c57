"""Places in a document, as JSON pointers (RFC 6901): `#/components/schemas/Reading`."""

from typing import Any, NamedTuple
from urllib.parse import unquote

from ..errors import UsageError

ROOT = "#"


class Target(NamedTuple):
    """What a reference leads to, and where that stands."""

    value: object
    place: str


def below(place: str, name: str | int) -> str:
    """The place of a member or an item of what stands at a place."""
    return f"{place}/{str(name).replace('~', '~0').replace('/', '~1')}"


def last_name(place: str) -> str:
    """What a place is called where it stands."""
    return _plain(place.rpartition("/")[2])


def follow(document: object, reference: object, place: str) -> Target:
    """Follow a reference.

    Args:
        document: within which it leads.
        reference: a JSON pointer that begins with `#`.
        place: where the reference stands.

    Raises:
        UsageError: it leads elsewhere, or nowhere.
    """
    if not isinstance(reference, str) or not reference.startswith(f"{ROOT}/"):
        raise UsageError(f"{place}: the reference {reference!r} leads out of the document")
    value, target = document, ROOT
    for token in reference.split("/")[1:]:
        name = _plain(unquote(token))
        target = below(target, name)
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise UsageError(f"{place}: the reference {reference!r} leads nowhere")
    return Target(value, target)


def an_object(value: object, place: str) -> dict[str, Any]:
    """What stands at a place, which has to be an object.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(value, dict):
        raise UsageError(f"{place}: an object is needed here")
    return value


def a_list(value: object, place: str) -> list[Any]:
    """What stands at a place, which has to be an array.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(value, list):
        raise UsageError(f"{place}: an array is needed here")
    return value


def _plain(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")
