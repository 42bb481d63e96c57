"""The files of the console, as browsers get them.

They are read once, and packed once. Only what the package holds is there to be had: a request's
path is looked up by name, and opens no file.
"""

import gzip
from functools import cache, lru_cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from msgspec import Struct

from ...channel.web import CONSOLE_FOLDER

INDEX = "index.html"
"""The page itself; the others are its parts."""

_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_HERE = b'="./'  # begins what the page refers to


class Asset(Struct, frozen=True):
    """One file.

    Args:
        kind: its content type.
        body: as it is.
        packed: with gzip, `None` where that does not make it smaller.
        etag: tells its versions apart, without quotation marks.
    """

    kind: bytes
    body: bytes
    packed: bytes | None
    etag: str


@cache
def assets() -> MappingProxyType[str, Asset]:
    """All files of the console, by their paths in its folder."""
    found = dict(_read(files(__package__) / "packed", ""))
    return MappingProxyType(found)


@lru_cache(maxsize=256)  # a gateway has many addresses
def index_below(place: str, sign_in: str) -> Asset:
    """The page for an address.

    Args:
        place: the last part of the address, as it stands in a URL, or nothing where that ends with
            a slash. What the page refers to is found from there, so that it does not matter what a
            proxy or a program puts before it.
        sign_in: what the page learns of who may use it; see `Console`.
    """
    index = assets()[INDEX]
    folder = f"{place}/{CONSOLE_FOLDER}" if place else CONSOLE_FOLDER
    body = index.body.replace(_HERE, f'="./{folder}/'.encode())
    return asset(INDEX, body.replace(b"<html", f'<html data-sign-in="{sign_in}"'.encode(), 1))


def asset(name: str, body: bytes) -> Asset:
    """A file with that name and content."""
    packed = gzip.compress(body, mtime=0)
    kind = _KINDS[_ending(name)].encode()
    is_smaller = len(packed) < len(body)
    etag = sha256(body).hexdigest()[:16]
    return Asset(kind, body, packed if is_smaller else None, etag)


def _read(folder: Traversable, path: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for each in folder.iterdir():
        name = f"{path}{each.name}"
        if each.is_dir():
            found += _read(each, f"{name}/")
        elif _ending(each.name) in _KINDS:
            found.append((name, asset(name, each.read_bytes())))
    return found


def _ending(name: str) -> str:
    return f".{name.rpartition('.')[2]}"
