"""`describe`: what a device can do, as an OpenRPC document put together from small pieces."""

from contextlib import AbstractAsyncContextManager, suppress
from typing import Annotated, Any

import anyio

from jsonrpc_iot import Client, MalformedResponse, MethodNotFound, RpcError
from jsonrpc_iot.channel.tasks import task_group
from jsonrpc_iot.channel.url import Url

from ._json import encode_json
from ._options import (
    DialectOption,
    TimeoutOption,
    TraceOption,
    UrlArgument,
    connect_to,
    hinting_at_key,
)
from ._output import explain, is_terminal, print_json, progress, table_of
from .command.declare import Option

_AT_ONCE = 8
_MOST_NAMES = 4096
_MOST_BYTES = 1 << 18  # of all names together
_LARGE = 64 * 1024  # bytes; in messages of that size a whole document should fit

Document = dict[str, Any]


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
    whole = ask_document(url, connect_to(url, timeout, dialect, trace=trace))
    if table:
        _print_tables(whole)
    else:
        print_json(encode_json(whole))


def ask_document(url: str, connected: AbstractAsyncContextManager[Client]) -> Document:
    """Ask a device for its document, in pieces where its messages are small.

    Args:
        url: where it is.
        connected: the client.
    """
    with hinting_at_key(url), progress("asking"):
        return anyio.run(_describe, url, connected)


async def _describe(url: str, connected: AbstractAsyncContextManager[Client]) -> Document:
    async with connected as client:
        limit = client.info.max_message
        if limit is None or limit >= _LARGE:
            with suppress(RpcError, MalformedResponse):
                return await _ask(client)
        try:
            names = await _names(client)
        except (RpcError, MalformedResponse) as failure:
            return await _whole(client, failure)
        whole: Document = {
            "openrpc": "1.3.2",
            "info": {"title": str(Url.parse(url)), "version": "unknown"},
            "methods": [],
        }
        pieces = await _pieces(client, names)
    bare = [name for name in names if name not in pieces]
    for name in names:
        _add(whole, pieces.get(name, {"methods": [{"name": name, "params": []}]}))
    if bare:
        explain(f"known by name alone: {', '.join(bare)}")
    return whole


async def _names(client: Client) -> list[str]:
    """The names of a device's methods; of a device that never ends, as many as may be real."""
    names: dict[str, None] = {}
    room = _MOST_BYTES
    async with client.stream("rpc.methods", item=str) as listed:
        async for name in listed:
            room -= len(name)
            if room < 0 or len(names) >= _MOST_NAMES:
                explain(f"more than {len(names)} methods; these are the first")
                break
            names[name] = None
    return list(names)


async def _whole(client: Client, failure: Exception) -> Document:
    """The document of a device that has no list of names, but perhaps all in one."""
    try:
        return await _ask(client)
    except (RpcError, MalformedResponse):
        raise failure from None


async def _ask(client: Client, name: str | None = None) -> Document:
    """The document of a device, or of what has that name."""
    params = None if name is None else {"method": name}
    return await client.call("rpc.discover", params, result=Document, idempotent=True)


async def _pieces(client: Client, names: list[str]) -> dict[str, Document]:
    """The documents of single methods, by name, as far as the device has them."""
    pieces: dict[str, Document] = {}
    waiting = iter(names)

    async def ask() -> None:
        for name in waiting:
            try:
                piece = await _ask(client, name)
            except MethodNotFound:
                tasks.cancel_scope.cancel()
            except (RpcError, MalformedResponse):
                continue
            else:
                if entries := _entries(piece, "methods", name)[:1]:
                    others = _entries(piece, "x-notifications", name)
                    pieces[name] = {**piece, "methods": entries, "x-notifications": others}

    async with task_group() as tasks:
        # A link that loses messages is slow as well, and the device at its end small.
        for _ in range(_AT_ONCE if client.info.reliable else 1):
            tasks.start_soon(ask)
    return pieces


def _entries(piece: Document, key: str, name: str | None = None) -> list[Document]:
    """The entries of a list, of one name or of any; a device may have sent something else."""
    found = piece.get(key)
    entries = found if isinstance(found, list) else []
    known = [each for each in entries if isinstance(each, dict)]
    return [each for each in known if name is None or each.get("name") == name]


def _add(whole: Document, piece: Document) -> None:
    """Add the methods and notifications of a piece, and the schemas that they refer to."""
    info = piece.get("info")
    if isinstance(info, dict) and info.get("title"):  # which goes where space is short
        whole["info"] = info
    schemas = _schemas(piece)
    if schemas:
        mine = whole.setdefault("components", {"schemas": {}})["schemas"]
        names = {name: _free_name(name, schema, mine) for name, schema in schemas.items()}
        piece = _renamed(piece, {old: new for old, new in names.items() if old != new})
        renamed = _schemas(piece)
        mine.update({names[name]: schema for name, schema in renamed.items()})
    whole["methods"] += piece["methods"]
    if notifications := piece.get("x-notifications"):
        whole["x-notifications"] = [*whole.get("x-notifications", ()), *notifications]


def _schemas(piece: Document) -> Document:
    components = piece.get("components")
    schemas = components.get("schemas") if isinstance(components, dict) else None
    return schemas if isinstance(schemas, dict) else {}


def _free_name(name: str, schema: object, taken: Document) -> str:
    """The name for a schema, where another piece may have another schema of that name."""
    chosen, number = name, 1
    while taken.get(chosen, schema) != schema:
        number += 1
        chosen = f"{name}_{number}"
    return chosen


def _renamed(value: Any, names: dict[str, str]) -> Any:
    """Let all references follow the schemas that have new names."""
    if not names:
        return value
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _renamed(member, names) for key, member in value.items()}
    head, slash, name = str(value.get("$ref", "")).rpartition("/")
    if name in names:
        changed["$ref"] = f"{head}{slash}{names[name]}"
    return changed


def _print_tables(whole: Document) -> None:
    from rich.console import Console

    methods = [_method_row(each) for each in _entries(whole, "methods")]
    tables = [(("method", "params", "result", ""), methods)]
    if notifications := _entries(whole, "x-notifications"):
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
    return f"(deprecated) {summary}".rstrip() if entry.get("deprecated") is True else summary


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
    return " | ".join(map(str, kind)) if isinstance(kind, list) else str(kind)
