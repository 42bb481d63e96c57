"""Arguments and options that several commands share, and connecting as they say."""

import math
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, TypeAlias

import typer

from jsonrpc_iot import Client, connect
from jsonrpc_iot.protocol.messages import Dialect

from ._output import Tracer


def duration(help: str, metavar: str = "SECONDS") -> Any:
    """An option that takes a finite number above 0, of seconds unless `metavar` says otherwise."""
    return typer.Option(callback=_above_zero, metavar=metavar, help=help)


def _above_zero(value: float | None) -> float | None:
    if value is None or 0 < value < math.inf:
        return value
    raise typer.BadParameter("a number of seconds above 0 is needed")


def complete_url(beginning: str) -> list[str]:
    """The beginnings of URLs that a shell offers to connect to."""
    return [offer for offer in complete_bind(beginning) if not offer.endswith("+pty://")]


def complete_bind(beginning: str) -> list[str]:
    """The beginnings of URLs that a shell offers to serve on."""
    from jsonrpc_iot.transports import schemes

    offers = [f"{scheme}://" for scheme in schemes() if scheme != "memory"]
    return [offer for offer in offers if offer.startswith(beginning)]


UrlArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="URL", help="Where the device is.", autocompletion=complete_url)
]
MethodArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="METHOD", help="The method's name.")
]
ParamsArgument: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PARAMS",
        help="One JSON object or array; or words key=text and key:=json; or @FILE; "
        "or - for standard input.",
    ),
]
TimeoutOption: TypeAlias = Annotated[
    float, duration("How long to wait for the connection, and then for the answer.")
]
DialectOption: TypeAlias = Annotated[
    Dialect, typer.Option(help="How to speak until the device has spoken.")
]
TraceOption: TypeAlias = Annotated[
    bool, typer.Option("--trace", help="Show every message and frame on standard error.")
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def connect_to(
    url: str,
    timeout: float,
    dialect: Dialect,
    *,
    extensions: bool | None = None,
    trace: bool = False,
) -> AbstractAsyncContextManager[Client]:
    """Connect as the options of a command say.

    Args:
        url: where the device is.
        timeout: seconds for the connection, and for each answer.
        dialect: how to speak at first.
        extensions: whether the device knows the protocol's; by default it is asked.
        trace: whether to show all messages.
    """
    return connect(
        url,
        timeout=timeout,
        connect_timeout=timeout,
        dialect=dialect,
        extensions=extensions,
        trace=Tracer(url) if trace else None,
    )
