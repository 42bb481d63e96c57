"""Devices as words of the command line, NAME=URL, and what it says of them."""

import logging
from collections.abc import Iterator, Sequence

from jsonrpc_iot import UsageError
from jsonrpc_iot.gateway import DeviceState
from jsonrpc_iot.protocol.about import about
from jsonrpc_iot.protocol.text import escape

from ._log import is_json, is_quiet
from ._options import complete_bind
from ._output import write_error
from .command.declare import Given, Offer

logger = logging.getLogger("jsonrpc_iot.cli.devices")


def complete_device(beginning: str, given: Given) -> Iterator[Offer]:
    """The beginnings of URLs that a shell offers behind a name."""
    name, mark, _ = beginning.rpartition("," if "," in beginning else "=")
    return (Offer(f"{name}{mark}{each.word}") for each in complete_bind("", given) if mark)


def urls_by_name(words: Sequence[str]) -> dict[str, list[str]]:
    """The URLs of devices that are given as NAME=URL, or as NAME=URL,URL, by name.

    Raises:
        UsageError: one is given in another way, or twice.
    """
    found: dict[str, list[str]] = {}
    for word in words:
        name, urls = split_name(word)
        if not name:
            raise UsageError(f"{word!r}: a device is given as NAME=URL")
        if name in found:
            raise UsageError(f"{name!r} is given twice")
        found[name] = urls
    return found


def split_name(word: str) -> tuple[str, list[str]]:
    """The name in NAME=URL, empty where there is none, and the URLs with commas between."""
    name, mark, urls = word.partition("=")
    if not mark or "://" in name:
        name, urls = "", word
    return name, [each for each in _split(urls) if each]


def said(device: DeviceState) -> str:
    """What is known of a device, in a line; empty while that is nothing."""
    if device.online:
        took = "" if device.round_trip is None else f", {device.round_trip * 1000:.1f} ms"
        return f"{device.name} online, {device.url}{took}"
    return "" if device.last_error is None else f"{device.name} away: {device.last_error}"


def _split(urls: str) -> list[str]:
    """URLs with commas between, which may also be in a URL."""
    parts: list[str] = []
    for part in urls.split(","):
        if "://" in part or not parts:
            parts.append(part)
        else:
            parts[-1] += f",{part}"
    return parts


def tell(name: str, text: str) -> None:
    """Say on standard error what has become of a device, as the log is to be.

    Args:
        name: of the device.
        text: what has; nothing is said where it is empty.
    """
    if not text or is_quiet():
        return
    if is_json():
        logger.setLevel(logging.INFO)
        logger.info("%s", text, extra=about(name))
    else:
        write_error(escape(text))
