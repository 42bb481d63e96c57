"""Which serial adapters this host has."""

from typing import TYPE_CHECKING

from .. import requirements

if TYPE_CHECKING:
    from serial.tools.list_ports_common import ListPortInfo


def require(what: object) -> None:
    """Refuse where they cannot be listed.

    Args:
        what: is to be shown.

    Raises:
        MissingExtra: the extra `uart` is not installed.
    """
    requirements.require_extra(what, "serial adapters need", "uart", "serial.tools.list_ports")


def list_adapters() -> "list[ListPortInfo]":
    """The adapters with known hardware, by name; `require` says whether they can be listed."""
    from serial.tools.list_ports import comports

    return [
        port
        for port in sorted(comports(), key=lambda port: port.device)
        if port.hwid != "n/a"  # sockets on the board that may not exist
    ]
