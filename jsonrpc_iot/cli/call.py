"""`call`, `notify` and `listen`: what a person says to one device, and hears from it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime
from functools import partial
from typing import Annotated

import anyio
import msgspec

from jsonrpc_iot import (
    CallTimeout,
    ChannelClosed,
    Client,
    InvalidParams,
    JsonRpcIotError,
    MalformedResponse,
    Notification,
    RpcError,
    connect,
)
from jsonrpc_iot.channel.url import Url

from ._json import encode_json, json_text
from ._notify import send_notification
from ._options import (
    DialectOption,
    MethodArgument,
    ParamsArgument,
    RecordOption,
    TimeoutOption,
    TraceOption,
    UrlArgument,
    connect_to,
    duration,
    hinting_at_options,
)
from ._output import Tracer, explain, print_json, print_json_line
from ._params import hint_at_json, read_params
from ._run import HINT
from ._signals import until_signal
from .command.declare import Argument, Option

# A server forgets whoever is silent for 60 s on a link that has no end of its own.
_PING_SECONDS = 20.0


def call(
    url: UrlArgument,
    method: MethodArgument,
    params: ParamsArgument = None,
    *,
    stream: Annotated[
        bool,
        Option(
            "--stream", help="Print each item of a list as one line of JSON, as soon as it comes."
        ),
    ] = False,
    timeout: TimeoutOption = 10.0,
    dialect: DialectOption = "iot",
    trace: TraceOption = False,
    record: RecordOption = None,
) -> None:
    """Call a method and print its result as JSON.

    With --stream the time is for each item, and lists may be longer than a message can be.
    """
    arguments = read_params(params or ())

    async def run() -> None:
        async with connect_to(url, timeout, dialect, trace=trace, record=record) as client:
            if not stream:
                result = await client.call(method, arguments, result=msgspec.Raw)
                print_json(json_text(bytes(result), url))  # at once, as parting may take a moment
                return
            async with client.stream(method, arguments, item=msgspec.Raw) as items:
                async for item in items:
                    print_json_line(json_text(bytes(item), url))

    try:
        with hinting_at_options(url):
            anyio.run(run)
    except InvalidParams as error:
        if hint := hint_at_json(params or (), error):
            error.add_note(f"{HINT}{hint}")
        raise


def notify(
    url: UrlArgument,
    method: MethodArgument,
    params: ParamsArgument = None,
    *,
    timeout: TimeoutOption = 10.0,
    dialect: DialectOption = "iot",
    trace: TraceOption = False,
) -> None:
    """Send one notification. No answer comes, so success says only that it was sent."""
    arguments = read_params(params or ())
    tracer = Tracer(url) if trace else None
    send = partial(send_notification, dialect=dialect, trace=tracer)
    anyio.run(send, url, method, arguments, timeout)


def listen(
    url: UrlArgument,
    patterns: Annotated[
        list[str] | None,
        Argument(
            metavar="PATTERN...",
            help="The names to listen for, such as lamp.changed or door.*; all by default.",
        ),
    ] = None,
    *,
    count: Annotated[
        int | None, Option(min=1, metavar="N", help="Exit after N notifications.")
    ] = None,
    time: Annotated[
        bool, Option("--time", help="Add to each line when it came, as its member time.")
    ] = False,
    timeout: Annotated[float, duration("How long to wait for the connection.")] = 10.0,
    dialect: DialectOption = "iot",
    trace: TraceOption = False,
    record: RecordOption = None,
) -> None:
    """Print each notification of a device as one line of JSON.

    Goes on until SIGINT or SIGTERM, which is success, or until the connection ends. Over links
    without connections, such as UDP, it sends rpc.ping every 20 s, lest the device forget it.
    """
    opened = connect(
        url,
        connect_timeout=timeout,
        dialect=dialect,
        trace=Tracer(url) if trace else None,
        record=record,
    )
    with suppress(KeyboardInterrupt):  # where signals cannot be received otherwise
        show = _show_with_time if time else _show
        anyio.run(_listen, url, opened, patterns or (), count, timeout, show)


async def _listen(
    url: str,
    opened: AbstractAsyncContextManager[Client],
    patterns: Sequence[str],
    count: int | None,
    timeout: float,
    show: Callable[[Notification], None],
) -> None:
    async with until_signal():
        async with (
            opened as client,
            client.notifications(*patterns) as notifications,
            anyio.create_task_group() as tasks,
        ):
            if not client.info.reliable:
                tasks.start_soon(_stay_known, client, str(Url.parse(url)), timeout)
            printed = missed = 0
            async for notification in notifications:
                show(notification)
                printed += 1
                if client.missed > missed:
                    missed = client.missed
                    explain(f"notifications that came too fast and were missed: {missed}")
                if printed == count:
                    tasks.cancel_scope.cancel()
                    return
            tasks.cancel_scope.cancel()
        raise ChannelClosed(f"{Url.parse(url)}: the connection has ended")


def _show(notification: Notification) -> None:
    print_json_line(encode_json(notification))


def _show_with_time(notification: Notification) -> None:
    """Print a notification, and when it came: local time with its offset, to the millisecond."""
    now = datetime.now().astimezone().isoformat(timespec="milliseconds")
    print_json_line(encode_json({"time": now} | msgspec.to_builtins(notification)))


async def _stay_known(
    client: Client, shown: str, timeout: float, every: float = _PING_SECONDS
) -> None:
    """Ping the device for ever; say so once when it stops answering."""
    answers = True
    while True:
        next_time = anyio.current_time() + every
        try:
            await client.call(
                "rpc.ping", result=msgspec.Raw, timeout=min(timeout, every), idempotent=True
            )
            answers = True
        except CallTimeout:
            if answers:
                explain(f"{shown}: does not answer; still listening")
            answers = False
        except (RpcError, MalformedResponse):
            answers = True
        except JsonRpcIotError:  # the connection is over, which the stream of notifications shows
            return
        await anyio.sleep_until(next_time)
