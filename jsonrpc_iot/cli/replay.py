"""`replay`: a device out of a recording."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated

import anyio

from jsonrpc_iot import Server
from jsonrpc_iot.testing import replay as replay_at

from ._access import KeysOption, RequireKeyOption, access
from ._log import show_warnings
from ._options import TraceOption
from ._output import Tracer, print_text
from ._signals import until_signal
from .command.declare import Argument, Option
from .serve import BindOption


def _above_zero(value: float) -> str | None:
    return None if 0 < value < float("inf") else "a number above 0 is needed"


def replay(
    file: Annotated[Path, Argument("FILE", "What --record has written.")],
    *,
    bind: BindOption,
    speed: Annotated[
        float,
        Option(
            metavar="FACTOR",
            help="How many times as fast notifications and items of streams come.",
            check=_above_zero,
        ),
    ] = 1.0,
    strict: Annotated[
        bool,
        Option(
            "--strict",
            help="Refuse params that were never recorded, instead of answering as for those that "
            "are nearest.",
        ),
    ] = False,
    keys: KeysOption = None,
    require_key: RequireKeyOption = False,
    trace: TraceOption = False,
) -> None:
    """Be a device that answers as a recorded one did, by method and params.

    Where one request got several answers they come in their order, and the last one from then on.
    Each client hears the notifications at their times, counted from when it came. Prints "listening
    URL" for each address that accepts traffic, and stops on SIGINT or SIGTERM.
    """
    show_warnings()
    tracer = Tracer(bind[0] if len(bind) == 1 else "") if trace else None
    who = access(keys, require_key, bind)
    device = replay_at(file, *bind, speed=speed, strict=strict, trace=tracer, **who)
    anyio.run(_run, device)


async def _run(device: AbstractAsyncContextManager[Server]) -> None:
    async with device as server, until_signal(server.reload):
        for url in server.urls:
            print_text(f"listening {url}")
        await anyio.sleep_forever()
