"""`provision`: tells a new device of a network, by Improv Wi-Fi, and pairs with it before."""

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio

from jsonrpc_iot import JsonRpcIotError, UsageError
from jsonrpc_iot.protocol.text import escape
from jsonrpc_iot.services.improv import ErrorState, ImprovError, set_up
from jsonrpc_iot.services.improv.setup import PRESS_BUTTON
from jsonrpc_iot.trust.keys import key_text

from ._options import TraceOption, duration
from ._output import Tracer, counting, explain, print_text
from ._params import read_stdin
from ._run import HINT
from .command.declare import Argument, Given, Offer, Option
from .pair import hinting_at_pairing, new_file


def _complete(beginning: str, given: Given) -> list[Offer]:
    return [Offer(f"{scheme}://") for scheme in ("uart", "gatt", "gatt+bumble")]


def provision(
    url: Annotated[
        str,
        Argument(
            "URL",
            "Where the device is: uart:///dev/ttyUSB0, or gatt://NAME over Bluetooth LE.",
            _complete,
        ),
    ],
    *,
    ssid: Annotated[str, Option(metavar="NAME", help="The network's name.")],
    psk_stdin: Annotated[
        bool,
        Option(
            "--psk-stdin",
            help="Read the network's key from standard input; by default it is asked for on the "
            "terminal. Nothing stands for an open network.",
        ),
    ] = False,
    code: Annotated[
        str | None,
        Option(
            metavar="CODE",
            help="Pair first, by this code of the device, at least 8 digits, over the same link; "
            "for devices that answer RPC there. Its key is printed before the URLs.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        Option(metavar="NAME", help='What to be called in its keyring, "app" by default.'),
    ] = None,
    out: Annotated[
        Path | None,
        Option(metavar="FILE", help="Write its key into this new file instead of printing it."),
    ] = None,
    timeout: Annotated[
        float, duration("How long to look for the device, and then to wait for the network.")
    ] = 40.0,
    trace: TraceOption = False,
) -> None:
    """Get a new device onto a Wi-Fi network, and print its URLs there.

    The device speaks Improv Wi-Fi. No network's key is shown, by --trace neither.
    """
    if code is None and not (name is None and out is None):
        raise UsageError("--name and --out are for pairing, which needs --code")
    if code is not None:
        from jsonrpc_iot.trust.exchange import digits_of

        digits_of(code)
    psk = _key_from_stdin() if psk_stdin else _key_from_terminal(ssid)
    with _keeping_key(out) as keep, counting() as say, _telling_of_both(code, keep):
        work = partial(set_up, url, ssid, psk, code=code, name=name or "app", on_key=keep)
        show = partial(_show_step, say)
        tracer = Tracer(url) if trace else None
        urls = anyio.run(partial(work, on_step=show, timeout=timeout, trace=tracer))
    for each in urls:
        print_text(escape(each))
    if not urls:
        explain(f"the device is on {ssid}, and does not say where it is reached")


class _Keep:
    """Prints a key, or writes it into a file, whatever comes after it.

    Args:
        write: does it.
        finish: closes the file.

    Attributes:
        has_key: whether there was one.
    """

    def __init__(self, write: Callable[[str], object], finish: Callable[[], object]) -> None:
        self._write = write
        self._finish = finish
        self.has_key = False

    def __call__(self, key: bytes) -> None:
        self._write(key_text(key))
        self._finish()
        self.has_key = True


@contextmanager
def _keeping_key(out: Path | None) -> Iterator[_Keep]:
    """What keeps the key; a file is there at once, and is removed where no key comes."""
    with ExitStack() as stack:
        write = print_text if out is None else stack.enter_context(new_file(out))
        yield _Keep(write, stack.close)


@contextmanager
def _telling_of_both(code: str | None, keep: _Keep) -> Iterator[None]:
    """Where the block fails, say what has become of both its halves, and what may help."""
    try:
        with hinting_at_pairing():
            yield
    except JsonRpcIotError as error:
        if isinstance(error, ImprovError) and error.code == ErrorState.UNABLE_TO_CONNECT:
            error.add_note(f"{HINT}is the key right, and the network within its reach?")
        if keep.has_key:
            explain("the device is paired, and its key holds: next time leave out --code")
        elif code is not None:
            explain("the device is not paired, and was told of no network")
        raise


def _show_step(say: Callable[[str], object], step: str) -> None:
    if step == PRESS_BUTTON:
        explain(step)
    else:
        say(step)


def _key_from_stdin() -> str:
    try:
        text = read_stdin().decode()
    except UnicodeDecodeError:
        raise UsageError("the key on standard input is no UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r")


def _key_from_terminal(ssid: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("give the key on standard input, with --psk-stdin")
    return getpass.getpass(f"Key of {escape(ssid)} (none for an open network): ")
