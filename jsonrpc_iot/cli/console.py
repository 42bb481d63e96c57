"""`console`: one device in a browser on this machine."""

import webbrowser
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from functools import partial
from html import escape as escape_html
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Annotated, TypeAlias

import anyio

from jsonrpc_iot import Keyring
from jsonrpc_iot.gateway import DeviceState
from jsonrpc_iot.gateway.console import console_of
from jsonrpc_iot.transports.requirements import require_extra

from ._access import KeysOption
from ._devices import said, split_name, tell
from ._log import show_warnings
from ._options import UrlArgument
from ._output import explain, print_text
from ._signals import until_signal
from .command.declare import Option

_LEADING = '<!doctype html><meta http-equiv="refresh" content="0;url={}"><title>Console</title>\n'

PortOption: TypeAlias = Annotated[
    int, Option(metavar="PORT", min=0, max=65535, help="Where the page is; 0 takes a free port.")
]


def console(
    url: UrlArgument,
    *,
    open: Annotated[bool, Option("--open", help="Open the page in the browser.")] = False,
    port: PortOption = 0,
    keys: KeysOption = None,
) -> None:
    """Use a device from a browser on this machine, over any transport.

    Prints "console URL", an address that opens the page once, in one browser: it ends with a key.
    With --keys those of the keyring may sign in as well. The device may be away, and come later;
    one line on standard error says so. Stops on SIGINT or SIGTERM.
    """
    require_extra("console", "it needs", "http", "h11", "uvicorn", "websockets")
    show_warnings()
    keyring = None if keys is None else Keyring(keys)
    _, urls = split_name(url)
    serving = console_of(urls, port=port, keyring=keyring, on_change=_tell, on_refused=_tell_why)
    anyio.run(partial(_run, serving, keyring, open=open))


async def _run(
    serving: AbstractAsyncContextManager[str], keyring: Keyring | None, *, open: bool
) -> None:
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(serving)
        reload = None if keyring is None else lambda: keyring.refresh(force=True)
        async with until_signal(reload):
            print_text(f"console {address}")
            if open:
                stack.enter_context(_opened(address))
            await anyio.sleep_forever()


@contextmanager
def _opened(address: str) -> Iterator[None]:
    """Open an address in the browser; the block has to last until it has loaded that.

    The browser gets a file that leads there, which this user alone can read: the address itself
    would be in the list of processes, for all users of the machine to see.
    """
    with TemporaryDirectory(prefix="jsonrpc-iot-") as folder:
        file = Path(folder) / "console.html"
        file.touch(mode=0o600)
        file.write_text(_LEADING.format(escape_html(address)), encoding="utf-8")
        # One that runs in the terminal keeps its thread until somebody leaves it.
        Thread(target=_open, args=(file.as_uri(),), daemon=True).start()
        yield


def _open(url: str) -> None:
    if not webbrowser.open(url):
        explain("there is no browser here: open the address in one")


def _tell_why(why: str) -> None:
    tell("device", why)


def _tell(device: DeviceState) -> None:
    tell(device.name, said(device))
