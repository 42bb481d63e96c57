"""`run`: a program that serves and does nothing else, so what goes wrong shows on its terminal."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import anyio

from ..channel.terminal import TerminalFormatter
from ..dispatch.dispatcher import Dispatcher
from ..errors import JsonRpcIotError, TransportError, UsageError
from .serving import serve

_LOG = logging.getLogger("jsonrpc_iot")


def run(
    dispatcher: Dispatcher,
    *urls: str,
    on_listening: Callable[[str], object] | None = None,
    backend: str = "asyncio",
    within: AbstractAsyncContextManager[object] | None = None,
    **options: Any,
) -> None:
    """Serve a dispatcher until the process gets SIGINT or SIGTERM.

    A dispatcher with an `async with` block of its own, such as a `Gateway`, is in it meanwhile.
    Where there is a keyring, or a URL names certificates, SIGHUP has these read again.

    Warnings and failures of handlers are shown on standard error, unless the program has set up
    logging. A URL that cannot be served ends a program that does not catch the error with one line.

    Args:
        dispatcher: answers.
        urls: where to listen.
        on_listening: is called with each URL once it accepts traffic.
        backend: the event loop, `asyncio` or `trio`.
        within: a block that is entered first and left last, such as that of a service.
        options: those of `serve`.

    Raises:
        InvalidUrl: a URL makes no sense.
        BindFailed: a URL cannot be bound; the text names it.
    """
    program = partial(
        _run, dispatcher, urls, on_listening or (lambda url: None), within or nullcontext(), options
    )
    try:
        with _shown_log():
            anyio.run(program, backend=backend)
    except (UsageError, TransportError) as error:
        raise _in_one_line(error) from error


async def _run(
    dispatcher: Dispatcher,
    urls: tuple[str, ...],
    on_listening: Callable[[str], object],
    within: AbstractAsyncContextManager[object],
    options: dict[str, Any],
) -> None:
    block: AbstractAsyncContextManager[object] = nullcontext()
    if isinstance(dispatcher, AbstractAsyncContextManager):
        block = dispatcher
    async with within, block, serve(dispatcher, *urls, **options) as server:
        if sys.platform == "win32":
            for url in server.urls:
                on_listening(url)
            await server.wait_closed()
        else:
            wanted = [signal.SIGINT, signal.SIGTERM]
            if server.reads_files:
                wanted.append(signal.SIGHUP)
            with anyio.open_signal_receiver(*wanted) as signals:
                for url in server.urls:
                    on_listening(url)
                async for number in signals:
                    if number != signal.SIGHUP:
                        break
                    server.reload()


def _in_one_line(error: JsonRpcIotError) -> SystemExit:
    """The same error as one that Python shows without a traceback where nobody catches it."""
    # SystemExit and OSError have no child in common; what is a ConnectTimeout is a ConnectFailed.
    kind = next(cls for cls in type(error).__mro__ if not issubclass(cls, OSError))
    ending = type(kind.__name__, (kind, SystemExit), {"__module__": kind.__module__})
    copy: SystemExit = ending(str(error))
    copy.code = str(error)
    return copy


@contextmanager
def _shown_log() -> Iterator[None]:
    """Show warnings and errors on standard error, where the program shows them nowhere."""
    if any(
        not isinstance(each, logging.NullHandler) for each in _LOG.handlers + logging.root.handlers
    ):
        yield
        return
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(TerminalFormatter())
    _LOG.addHandler(handler)
    try:
        yield
    finally:
        _LOG.removeHandler(handler)
