"""Images of MicroPython's read-only file system, whose bytecode runs where it lies."""

from collections.abc import Mapping

_VERBATIM, _FILE = 2, 5
_MAGIC = b"\xd2\xcd\x31"


def image_of(files: Mapping[str, bytes]) -> bytes:
    """An image with files in its root.

    Source: MicroPython's `tools/mpremote/mpremote/romfs.py`.
    """
    body = b"".join(
        _record(_FILE, _number(len(name)) + name.encode() + _record(_VERBATIM, data))
        for name, data in files.items()
    )
    size = _number(len(body))
    if (len(_MAGIC) + len(size) + len(body)) % 2:
        size = b"\x80" + size
    return _MAGIC + size + body


def _record(kind: int, payload: bytes) -> bytes:
    return _number(kind) + _number(len(payload)) + payload


def _number(value: int) -> bytes:
    """Seven bits a byte, the highest first; all but the last have their eighth bit set."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.insert(0, 0x80 | value & 0x7F)
    return bytes(digits)
