"""What some transports need that may not be there: packages of an extra, and asyncio."""

import asyncio
import sys
from importlib import import_module

from ..errors import MissingExtra, UsageError


def require_extra(what: object, thing: str, extra: str, *packages: str) -> None:
    """Say how to install what is missing.

    Args:
        what: a URL, to be shown.
        thing: what needs the packages, and its verb.
        extra: installs them.
        packages: that have to be there.

    Raises:
        MissingExtra: one of them is not.
    """
    try:
        for package in packages:
            import_module(package)
    except ImportError as error:
        raise MissingExtra(f"{what}: {thing}: pip install 'jsonrpc-iot[{extra}]'") from error


def require_asyncio(what: object, thing: str, instead: str = "") -> None:
    """Refuse an event loop on which a library does not run.

    Args:
        what: a URL, to be shown.
        thing: what does not work there, and its verb.
        instead: what does.

    Raises:
        UsageError: the loop is not asyncio's.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError(f"{what}: {thing} on asyncio, not on trio{instead}") from None


def require_bluez(url: object) -> None:
    """Refuse a system on which programs can only be centrals.

    Raises:
        MissingExtra: the extra `gatt` is not installed.
        UsageError: this is not Linux.
    """
    if sys.platform != "linux":
        raise UsageError(f"{url}: serving over Bluetooth needs Linux and BlueZ; clients need not")
    require_extra(url, "Bluetooth needs", "gatt", "dbus_fast")
