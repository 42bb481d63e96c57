"""`describe`: what a device can do, as an OpenRPC document put together from small pieces."""

from collections.abc import Iterator
from typing import Annotated, Any

import anyio
import msgspec
import typer

from jsonrpc_iot import Client, MalformedResponse, MethodNotFound, RpcError, connect
from jsonrpc_iot.protocol.messages import Dialect
from jsonrpc_iot.url import Url

from ._options import DialectOption, TimeoutOption, TraceOption, UrlArgument
from ._output import Tracer, escape, explain, is_terminal, print_json, progress

_AT_ONCE = 8

Document = dict[str, Any]


def describe(
    url: UrlArgument,
    *,
    table: Annotated[
        bool, typer.Option("--table", help="Show the methods as a table instead.")
    ] = False,
    timeout: TimeoutOption = 10.0,
    dialect: DialectOption = "iot",
    trace: TraceOption = False,
) -> None:
    """Print the OpenRPC document of a device: its methods, their parameters and results.

    It is put together from rpc.methods and one rpc.discover for each method, which fit small
    messages. Of a device without rpc.discover the names alone are known.
    """
    tracer = Tracer(url) if trace else None
    with progress("asking"):
        whole = anyio.run(_describe, url, timeout, dialect, tracer)
    if table:
        _print_table(whole)
    else:
        print_json(msgspec.json.encode(whole))


async def _describe(url: str, timeout: float, dialect: Dialect, tracer: Tracer | None) -> Document:
    async with connect(
        url, timeout=timeout, connect_timeout=timeout, dialect=dialect, trace=tracer
    ) as client:
        try:
            listed = await client.call("rpc.methods", result=list[str], idempotent=True)
        except (RpcError, MalformedResponse) as failure:
            return await _whole(client, failure)
        whole: Document = {
            "openrpc": "1.3.2",
            "info": {"title": str(Url.parse(url)), "version": "unknown"},
            "methods": [],
        }
        names = list(dict.fromkeys(listed))
        pieces = await _pieces(client, names)
    bare = [name for name in names if name not in pieces]
    for name in names:
        _add(whole, pieces.get(name, {"methods": [{"name": name, "params": []}]}))
    if bare:
        explain(f"known by name alone: {', '.join(bare)}")
    return whole


async def _whole(client: Client, failure: Exception) -> Document:
    """The document of a device that has no list of names, but perhaps all in one."""
    try:
        return await client.call("rpc.discover", result=Document, idempotent=True)
    except (RpcError, MalformedResponse):
        raise failure from None


async def _pieces(client: Client, names: list[str]) -> dict[str, Document]:
    """The documents of single methods, by name, as far as the device has them."""
    pieces: dict[str, Document] = {}
    waiting = iter(names)
    failure: Exception | None = None

    async def ask(scope: anyio.CancelScope) -> None:
        nonlocal failure
        for name in waiting:
            try:
                params = {"method": name}
                piece = await client.call("rpc.discover", params, result=Document, idempotent=True)
            except MethodNotFound:
                scope.cancel()
            except (RpcError, MalformedResponse):
                continue
            except Exception as error:  # noqa: BLE001  # goes on below, not in a group
                failure = error
                scope.cancel()
            else:
                if entries := _methods(piece, name):
                    pieces[name] = {**piece, "methods": entries}

    async with anyio.create_task_group() as tasks:
        # A link that loses messages is slow as well, and the device at its end small.
        for _ in range(_AT_ONCE if client.info.reliable else 1):
            tasks.start_soon(ask, tasks.cancel_scope)
    if failure is not None:
        raise failure
    return pieces


def _methods(piece: Document, name: str) -> list[Document]:
    """The entries of that name; a device may have sent all, or something else."""
    found = piece.get("methods")
    entries = found if isinstance(found, list) else []
    return [each for each in entries if isinstance(each, dict) and each.get("name") == name][:1]


def _add(whole: Document, piece: Document) -> None:
    """Add the methods of a piece, and the schemas that they refer to."""
    if isinstance(piece.get("info"), dict):
        whole["info"] = piece["info"]
    schemas = _schemas(piece)
    if schemas:
        mine = whole.setdefault("components", {"schemas": {}})["schemas"]
        names = {name: _free_name(name, schema, mine) for name, schema in schemas.items()}
        piece = _renamed(piece, {old: new for old, new in names.items() if old != new})
        renamed = _schemas(piece)
        mine.update({names[name]: schema for name, schema in renamed.items()})
    whole["methods"] += piece["methods"]


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


def _print_table(whole: Document) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("method", "params", "result", ""):
        table.add_column(title, overflow="fold")
    for row in _rows(whole):
        table.add_row(*(Text(escape(cell)) for cell in row))
    Console(width=None if is_terminal() else 1000).print(table)


def _rows(whole: Document) -> Iterator[tuple[str, str, str, str]]:
    methods = whole.get("methods")
    for method in methods if isinstance(methods, list) else ():
        if isinstance(method, dict):
            params = method.get("params")
            shown = map(_parameter, params if isinstance(params, list) else ())
            result = method.get("result")
            kind = _kind(result.get("schema")) if isinstance(result, dict) else ""
            summary = method.get("summary") or method.get("description") or ""
            yield str(method.get("name", "")), ", ".join(shown), kind, str(summary)


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
        return " | ".join(msgspec.json.encode(value).decode() for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"{_kind(schema.get('items'))}[]"
    return " | ".join(map(str, kind)) if isinstance(kind, list) else str(kind)
