"""Arguments and options that several commands share, and connecting as they say."""

import math
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

from jsonrpc_iot import Client, RpcError, Unauthorized, connect
from jsonrpc_iot.channel.url import Url, key_hint
from jsonrpc_iot.protocol.messages import Dialect

from ._output import Tracer
from ._run import HINT
from .command.declare import Argument, Given, Offer, Option

_PARSE_ERROR = -32700


def duration(help: str, metavar: str = "SECONDS") -> Option:
    """An option that takes a finite number above 0, of seconds unless `metavar` says otherwise."""
    return Option(metavar=metavar, help=help, check=_above_zero)


def _above_zero(value: float) -> str | None:
    return None if 0 < value < math.inf else "a number of seconds above 0 is needed"


def complete_url(beginning: str, given: Given) -> Iterator[Offer]:
    """The beginnings of URLs that a shell offers to connect to."""
    return (each for each in complete_bind(beginning, given) if not each.word.endswith("+pty://"))


def complete_bind(beginning: str, given: Given) -> Iterator[Offer]:
    """The beginnings of URLs that a shell offers to serve on."""
    from jsonrpc_iot.transports import schemes

    return (Offer(f"{scheme}://") for scheme in schemes() if scheme != "memory")


def _complete_method(beginning: str, given: Given) -> Iterator[Offer]:
    from ._live import complete_method

    return complete_method(beginning, given)


def _complete_params(beginning: str, given: Given) -> Iterator[Offer]:
    from ._live import complete_params

    return complete_params(beginning, given)


UrlArgument: TypeAlias = Annotated[str, Argument("URL", "Where the device is.", complete_url)]
MethodArgument: TypeAlias = Annotated[
    str, Argument("METHOD", "The method's name.", _complete_method)
]
ParamsArgument: TypeAlias = Annotated[
    list[str] | None,
    Argument(
        "PARAMS",
        "One JSON object or array; or words key=text and key:=json; or @FILE; "
        "or - for standard input.",
        _complete_params,
    ),
]
TimeoutOption: TypeAlias = Annotated[
    float, duration("How long to wait for the connection, and then for the answer.")
]
DialectOption: TypeAlias = Annotated[
    Dialect, Option(help="How to speak until the device has spoken.")
]
TraceOption: TypeAlias = Annotated[
    bool, Option("--trace", help="Show every message and frame on standard error.")
]
RecordOption: TypeAlias = Annotated[
    Path | None,
    Option(
        metavar="FILE",
        help="Write all messages to this new file, with secrets masked; replay plays it.",
    ),
]
AnnounceOption: TypeAlias = Annotated[
    str | None,
    Option(
        "--announce",
        metavar="NAME",
        help="Be found by mDNS under this name; one that is taken gets a number.",
    ),
]
ConsoleOption: TypeAlias = Annotated[
    bool,
    Option(
        "--console",
        help="Give browsers a page to use it by, at the addresses of http:// and https://.",
    ),
]
MetricsOption: TypeAlias = Annotated[
    bool,
    Option(
        "--metrics",
        help="Answer GET /metrics, as Prometheus reads it, at the addresses of http:// and "
        "https://; with --keys for who has the permission stats.",
    ),
]
JsonOption: TypeAlias = Annotated[bool, Option("--json", help="Print one JSON object.")]


def connect_to(
    url: str,
    timeout: float,
    dialect: Dialect,
    *,
    extensions: bool | None = None,
    trace: bool = False,
    record: Path | None = None,
) -> AbstractAsyncContextManager[Client]:
    """Connect as the options of a command say.

    Args:
        url: where the device is.
        timeout: seconds for the connection, and for each answer.
        dialect: how to speak at first.
        extensions: whether the device knows the protocol's; by default it is asked.
        trace: whether to show all messages.
        record: a new file for them.
    """
    return connect(
        url,
        timeout=timeout,
        connect_timeout=timeout,
        dialect=dialect,
        extensions=extensions,
        trace=Tracer(url) if trace else None,
        record=record,
    )


@contextmanager
def hinting_at_options(url: str) -> Iterator[None]:
    """Say which option of the URL may help if the block is refused something.

    Args:
        url: where the device is.
    """
    try:
        yield
    except Unauthorized as error:
        if hint := key_hint(url, error):
            error.add_note(f"{HINT}{hint}; without a keyring there nobody may call that")
        raise
    except RpcError as error:
        if error.code == _PARSE_ERROR and "segment" in Url.parse(url).options:
            error.add_note(f"{HINT}the other end may not know ?segment=; try without it")
        raise
