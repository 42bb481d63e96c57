"""`conformance`: what a device does right and wrong, seen from outside."""

from pathlib import Path
from typing import Annotated

import anyio

from jsonrpc_iot import UsageError
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

from ._json import encode_json
from ._options import JsonOption, UrlArgument, duration
from ._output import print_json, print_text, progress
from ._params import read_params
from ._run import FAILED_THERE
from .command.declare import Option


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
    if junit is not None:
        junit.write_bytes(as_junit(report))
    if json:
        print_json(as_json(report))
    else:
        print_text(escape_log(as_text(report)))
    return 0 if report.ok else FAILED_THERE


async def _check(url: str, profile: Profile, given: list[Given], timeout: float) -> Report:
    with progress("checking"):
        return await check_conformance(url, profile=profile, methods=given, timeout=timeout)


def _params(word: str) -> str:
    if not word:
        return ""
    if not word.startswith(("{", "[", "@")):
        raise UsageError(f"{word!r}: the PARAMS of --method are one JSON object or array, or @FILE")
    return encode_json(read_params([word])).decode()
