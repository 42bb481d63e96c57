"""`describe`: what a device can do, as its OpenRPC document."""

from contextlib import AbstractAsyncContextManager
from typing import Annotated

import anyio

from jsonrpc_iot import Client
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.dispatch.openrpc.gather import Document, entries_of, gather

from ._json import encode_json
from ._options import (
    DialectOption,
    TimeoutOption,
    TraceOption,
    UrlArgument,
    connect_to,
    hinting_at_options,
)
from ._output import explain, is_terminal, print_json, progress, table_of
from .command.declare import Option


def describe(
    url: UrlArgument,
    *,
    table: Annotated[
        bool, Option("--table", help="Show methods and notifications as tables instead.")
    ] = False,
    timeout: TimeoutOption = 10.0,
    dialect: DialectOption = "iot",
    trace: TraceOption = False,
) -> None:
    """Print the OpenRPC document of a device: methods, parameters, results and notifications.

    Over a link for small messages it is put together from rpc.methods and one rpc.discover for each
    method, which leaves out notifications of other names. Of a device without rpc.discover the
    names alone are known.
    """
    whole = ask_document(url, connect_to(url, timeout, dialect, trace=trace), timeout)
    if table:
        _print_tables(whole)
    else:
        print_json(encode_json(whole))


def ask_document(
    url: str,
    connected: AbstractAsyncContextManager[Client],
    timeout: float,
    device: str | None = None,
) -> Document:
    """Ask a device for its document, in pieces where its messages are small.

    Args:
        url: where it is.
        connected: the client.
        timeout: seconds for each answer.
        device: what is asked for is one behind it, of that name.
    """
    with hinting_at_options(url), progress("asking"):
        return anyio.run(_describe, url, connected, timeout, device)


async def _describe(
    url: str,
    connected: AbstractAsyncContextManager[Client],
    timeout: float,
    device: str | None,
) -> Document:
    async with connected as client:
        if device is not None:
            return await client.call("rpc.discover", {"device": device}, result=Document)
        return await gather(client, str(Url.parse(url)), timeout, explain)


def _print_tables(whole: Document) -> None:
    from rich.console import Console

    methods = [_method_row(each) for each in entries_of(whole, "methods")]
    tables = [(("method", "params", "result", ""), methods)]
    if notifications := entries_of(whole, "x-notifications"):
        rows = [_notification_row(each) for each in notifications]
        tables.append((("notification", "params", "direction", ""), rows))
    console = Console(width=None if is_terminal() else 1000)
    for titles, rows in tables:
        if rows is not methods:
            console.print()
        console.print(table_of(titles, rows))


def _method_row(method: Document) -> tuple[str, str, str, str]:
    result = method.get("result")
    kind = _kind(result.get("schema")) if isinstance(result, dict) else ""
    return str(method.get("name", "")), _parameters(method), kind, _summary(method)


def _notification_row(entry: Document) -> tuple[str, str, str, str]:
    params = _kind(entry["schema"]) if "schema" in entry else _parameters(entry)
    return str(entry.get("name", "")), params, str(entry.get("direction", "")), _summary(entry)


def _summary(entry: Document) -> str:
    summary = str(entry.get("summary") or entry.get("description") or "")
    marks = ["deprecated"] if entry.get("deprecated") is True else []
    marks += [str(entry["x-effect"])] if "x-effect" in entry else []
    return f"({', '.join(marks)}) {summary}".rstrip() if marks else summary


def _parameters(entry: Document) -> str:
    params = entry.get("params")
    return ", ".join(map(_parameter, params if isinstance(params, list) else ()))


def _parameter(parameter: object) -> str:
    if not isinstance(parameter, dict):
        return "?"
    mark = "" if parameter.get("required") else "?"
    return f"{parameter.get('name', '')}{mark}: {_kind(parameter.get('schema'))}"


def _kind(schema: object) -> str:
    """A schema in a word or two."""
    if not isinstance(schema, dict):
        return "any"
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    choices = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(choices, list):
        return " | ".join(map(_kind, choices))
    if isinstance(schema.get("enum"), list):
        return " | ".join(encode_json(value).decode() for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"{_kind(schema.get('items'))}[]"
    shown = " | ".join(map(str, kind)) if isinstance(kind, list) else str(kind)
    return f"{shown}{_range(schema)}"


def _range(schema: Document) -> str:
    """What bounds a number, or the length of a text."""
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    shortest, longest = schema.get("minLength"), schema.get("maxLength")
    if least is not None and most is not None:
        return f" {least}..{most}"
    bounds = ((">=", least), ("<=", most), (">", above), ("<", below))
    texts = [f"{sign} {value}" for sign, value in bounds if value is not None]
    if longest is not None:
        texts.append(f"{shortest or 0}..{longest} long")
    elif shortest:
        texts.append(f">= {shortest} long")
    return f" {', '.join(texts)}" if texts else ""
