"""`mcp`: devices as tools of an assistant."""

import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import chain
from typing import Annotated, Any, TypeAlias

import anyio

from jsonrpc_iot import Keyring, UsageError
from jsonrpc_iot.gateway.mcp import mcp_server
from jsonrpc_iot.transports.secrets import check_secrets

from ._access import KeysOption, RequireKeyOption, access
from ._devices import complete_device, split_name, urls_by_name
from ._log import is_verbose, show_warnings
from ._options import complete_url, duration
from ._output import print_text
from ._signals import until_signal
from .command.declare import Argument, Given, Offer, Option

_CALL_SECONDS = 30.0


def _complete(beginning: str, given: Given) -> Iterator[Offer]:
    yield from complete_device(beginning, given) if "=" in beginning else complete_url("", given)


AllowOption: TypeAlias = Annotated[
    list[str] | None,
    Option(
        metavar="PATTERN",
        help="Let methods be called that do not say that they only read: lamp.set, or all that "
        "begin so, as lamp.* does; with the device's name before them or without. What is a danger "
        "is opened by its whole name alone. Give it once for each pattern.",
    ),
]


def mcp(
    devices: Annotated[
        list[str],
        Argument(
            "NAME=URL",
            "A device, and where it is. One alone needs no name: URL. Several URLs of one, with "
            "commas between, are tried in order.",
            _complete,
        ),
    ],
    *,
    allow: AllowOption = None,
    http: Annotated[
        str | None,
        Option(
            "--http",
            metavar="HOST:PORT",
            help="Be reached at http://HOST:PORT/mcp instead of over standard input and output. "
            "PORT alone is that of this machine for itself; a URL may say more, as in HTTP.",
        ),
    ] = None,
    keys: KeysOption = None,
    require_key: RequireKeyOption = False,
    timeout: Annotated[float, duration("How long a call may take.")] = _CALL_SECONDS,
) -> None:
    """Have devices be the tools of an assistant that speaks MCP, the Model Context Protocol.

    Methods that say that they only read are tools, and those that --allow opens; notifications are
    resources. It is started by the assistant's program, speaks to that over standard input and
    output, and ends with them. With --http it prints "listening URL", and stops on SIGINT or
    SIGTERM.
    """
    show_warnings()
    if not is_verbose():
        logging.getLogger("mcp").setLevel(logging.ERROR)
    url = None if http is None else _url(http)
    if url is None and (keys is not None or require_key):
        raise UsageError("--keys and --require-key are for --http: over stdio nobody else comes")
    options = access(keys, require_key, [url] if url else [])
    anyio.run(_run, _named(devices), allow or [], timeout, url, options)


async def _run(
    where: dict[str, list[str]] | list[str],
    allow: list[str],
    timeout: float,
    url: str | None,
    options: dict[str, Any],
) -> None:
    async with AsyncExitStack() as stack:
        assistant = await stack.enter_async_context(mcp_server(where, allow=allow, timeout=timeout))
        if url is None:
            async with until_signal():
                await assistant.serve_stdio()
            return
        for each in await stack.enter_async_context(assistant.serve_http(url, **options)):
            print_text(f"listening {each}")
        keyring: Keyring | None = options.get("keyring")
        reload = None if keyring is None else lambda: keyring.refresh(force=True)
        async with until_signal(reload):
            await anyio.sleep_forever()


def _url(http: str) -> str:
    if "://" in http:
        return http
    place = f"127.0.0.1:{http}" if http.isdecimal() else http
    return f"http://{place}/mcp"


def _named(words: list[str]) -> dict[str, list[str]] | list[str]:
    """The devices by name, or the URLs of the only one."""
    name, urls = split_name(words[0])
    named = {"": urls} if len(words) == 1 and not name else urls_by_name(words)
    for each in chain(*named.values()):
        check_secrets(each)
    return named.get("", named)
