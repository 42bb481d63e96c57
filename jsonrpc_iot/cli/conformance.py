"""`conformance`: what a device does right and wrong, seen from outside."""

from pathlib import Path
from typing import Annotated, Final

import anyio

from jsonrpc_iot import UsageError
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.protocol.text import escape_log
from jsonrpc_iot.testing.conformance import (
    Given,
    Profile,
    Report,
    as_json,
    as_junit,
    as_text,
    check_conformance,
)
from jsonrpc_iot.transports.serial.tuya_dp import read_url

from ._json import encode_json
from ._options import JsonOption, UrlArgument, duration
from ._output import counting, print_json, print_text, write_error
from ._params import read_params
from ._run import FAILED_THERE
from .command.declare import Option

_CASES: Final[dict[Profile, int]] = {"minimal": 30, "standard": 140, "full": 430}
"""Messages that a profile sends over a Tuya DP line, about."""

_LONG_GAP_SECONDS = 0.1


def conformance(
    url: UrlArgument,
    *,
    profile: Annotated[
        Profile,
        Option(
            help="What the device has to do: answer requests; what the source of the protocol "
            "says; all of it, with the extensions that it has."
        ),
    ] = "standard",
    method: Annotated[
        list[tuple[str, str]] | None,
        Option(
            metavar="NAME PARAMS",
            help='A method that may be called, and its params as JSON, "" for none. The first is '
            "what most cases call. Give it once for each method.",
        ),
    ] = None,
    timeout: Annotated[float, duration("How long an answer may take.")] = 2.0,
    json: JsonOption = False,
    junit: Annotated[
        Path | None, Option("--junit", metavar="FILE", help="Write the report there as JUnit XML.")
    ] = None,
) -> int:
    """Hold a device against the protocol, from outside and over any transport.

    No method is called but those that --method gives, and those that the device's document marks as
    reading. What a device lacks and need not have is not applicable, what nobody can see from
    outside is not verified; neither is a failure. The exit code is 1 when something failed, and 3
    when nobody answers.
    """
    given = [Given(name, _params(params)) for name, params in method or ()]
    report = anyio.run(_check, url, profile, given, timeout)
    if json:
        print_json(as_json(report))
    else:
        print_text(escape_log(as_text(report)))
    if junit is not None:
        junit.write_bytes(as_junit(report))
    return 0 if report.ok else FAILED_THERE


async def _check(url: str, profile: Profile, given: list[Given], timeout: float) -> Report:
    parsed = Url.parse(url)
    if parsed.scheme == "tuya-dp" and (gap := read_url(parsed).gap) >= _LONG_GAP_SECONDS:
        least = round(gap * _CASES[profile] / 60 + 0.5)
        write_error(
            f"{gap:g} s pass between two messages on this line, so this takes some {least} minutes;"
            " ?gap=0 does it at once, if the other end needs no pause"
        )
    with counting() as tell:
        return await check_conformance(
            url, profile=profile, methods=given, timeout=timeout, progress=tell
        )


def _params(word: str) -> str:
    if not word:
        return ""
    if not word.startswith(("{", "[", "@")):
        raise UsageError(f"{word!r}: the PARAMS of --method are one JSON object or array, or @FILE")
    return encode_json(read_params([word])).decode()
