"""Arguments and options that several commands share."""

import math
from typing import Annotated, TypeAlias

import typer

from jsonrpc_iot.protocol.messages import Dialect


def seconds(value: float | None) -> float | None:
    """Refuse a time that is none.

    Raises:
        typer.BadParameter: it is not a finite number above 0.
    """
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
    str,
    typer.Argument(
        metavar="URL", help="Where the device is.", show_default=False, autocompletion=complete_url
    ),
]
MethodArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="METHOD", help="The method's name.", show_default=False)
]
ParamsArgument: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PARAMS",
        help=(
            "One JSON object or array; or words key=text and key:=json; or @FILE; "
            "or - for standard input."
        ),
        show_default=False,
    ),
]
TimeoutOption: TypeAlias = Annotated[
    float,
    typer.Option(
        callback=seconds,
        metavar="SECONDS",
        help="How long to wait for the connection, and then for the answer.",
    ),
]
ConnectTimeoutOption: TypeAlias = Annotated[
    float,
    typer.Option(
        "--timeout",
        callback=seconds,
        metavar="SECONDS",
        help="How long to wait for the connection.",
    ),
]
DialectOption: TypeAlias = Annotated[
    Dialect,
    typer.Option(help="How to speak until the device has spoken."),
]
TraceOption: TypeAlias = Annotated[
    bool, typer.Option("--trace", help="Show every message and frame on standard error.")
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
