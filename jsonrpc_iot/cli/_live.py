"""What a shell offers of a live device: the names of its methods, and of their params.

A device is asked where that disturbs nobody, which leaves out serial lines and BLE: to open those
may start it again. It has a second to answer, or as long as $JSONRPC_IOT_COMPLETION_SECONDS says.
What it says is kept for a minute, and for longer where it does not answer.
"""

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import msgspec
from msgspec import Struct

from jsonrpc_iot import MalformedResponse, RpcError, connect
from jsonrpc_iot.protocol.text import escape

from .command.declare import Given, Offer

_ASKED = {"http", "https", "mqtt", "mqtts", "pipe", "tcp", "tls", "udp", "unix", "ws", "wss"}
_SECONDS = float(os.environ.get("JSONRPC_IOT_COMPLETION_SECONDS", "1"))
_FRESH_SECONDS = 60.0
_KEPT_SECONDS = 30 * 24 * 3600.0
_MOST_METHODS = 4096
_LONGEST_HELP = 80
# A word of a device's that means nothing to any shell, and is no option.
_HARMLESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@+=-]*")


class Param(Struct):
    """A parameter of a method, as its description has it."""

    name: str
    schema: dict[str, Any] = {}


class Method(Struct):
    """A method, as its description has it."""

    name: str
    summary: str = ""
    params: list[Param] = []


class _Document(Struct):
    methods: list[Method]


def complete_method(beginning: str, given: Given) -> Iterator[Offer]:
    """Offer the methods of the device at `url`."""
    for method in _methods(given["url"]):
        help = escape(" ".join(method.summary.split()))[:_LONGEST_HELP]
        yield from _harmless(Offer(method.name, help))


def complete_params(beginning: str, given: Given) -> Iterator[Offer]:
    """Offer `name=` or `name:=` for the params of `method`, and values where there are few."""
    there = {word.partition("=")[0].removesuffix(":") for word in given["params"]}
    for method in _methods(given["url"]):
        if method.name == given["method"]:
            for param in method.params:
                if param.name not in there:
                    yield from _harmless(*_members(param, beginning))


def _members(param: Param, beginning: str) -> Iterator[Offer]:
    values: list[Any] = param.schema.get("enum", [])
    is_text = param.schema.get("type") == "string" or bool(values)
    if param.schema.get("type") == "boolean":
        values = ["true", "false"]
    start = f"{param.name}{'=' if is_text else ':='}"
    texts = [Offer(f"{start}{value}") for value in values if isinstance(value, str)]
    if texts and beginning.startswith(start):
        yield from texts
    else:
        yield Offer(start)


def _harmless(*offers: Offer) -> Iterator[Offer]:
    return (offer for offer in offers if _HARMLESS.fullmatch(offer.word))


def _methods(url: str) -> list[Method]:
    """The methods of a device, as far as it can be known in time."""
    if url.partition("://")[0] not in _ASKED:
        return []
    kept = _cache() / f"{hashlib.sha256(url.encode()).hexdigest()}.json"
    with suppress(OSError):
        if time.time() - kept.stat().st_mtime < _FRESH_SECONDS:
            return _read(kept)
    methods = _ask_in_time(url)
    if methods is None:
        return _read(kept)
    with suppress(OSError):
        _keep(kept, methods)
    return methods


def _ask_in_time(url: str) -> list[Method] | None:
    """Ask a device; `None` where it does not answer in time.

    In a thread, as looking up a host's name cannot be interrupted.
    """
    answers: list[list[Method]] = []

    def work() -> None:
        with suppress(Exception):  # whatever it is, a shell is no place to complain
            answers.append(anyio.run(_ask, url))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return answers[0][:_MOST_METHODS] if answers else None


async def _ask(url: str) -> list[Method]:
    async with connect(url, timeout=_SECONDS, connect_timeout=_SECONDS) as client:
        with suppress(RpcError, MalformedResponse):
            return (await client.call("rpc.discover", result=_Document)).methods
        return [Method(name) for name in await client.call("rpc.methods", result=list[str])]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jsonrpc-iot"


def _read(kept: Path) -> list[Method]:
    try:
        return msgspec.json.decode(kept.read_bytes(), type=list[Method])
    except (OSError, ValueError):
        return []


def _keep(kept: Path, methods: list[Method]) -> None:
    """Keep what a device has said, and forget others that were not asked for long."""
    folder = kept.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in folder.glob("*.json"):
        if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
            old.unlink()
    fresh = kept.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(msgspec.json.encode(methods))
    fresh.replace(kept)
