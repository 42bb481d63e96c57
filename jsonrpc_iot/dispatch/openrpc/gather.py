"""The description of a device, put together from small pieces where its link carries no more.

What a device says is not trusted: it may be anything, and without end.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ...channel.tasks import task_group
from ...errors import MalformedResponse, MethodNotFound, RpcError
from ..declare.target import Target

_AT_ONCE = 8
_MOST_NAMES = 4096
_MOST_BYTES = 1 << 18  # of all names together
_LONGEST_NAME = 256
_LARGE = 64 * 1024  # bytes; in messages of that size a whole document should fit

Document = dict[str, Any]
Explain = Callable[[str], object]


async def gather(
    client: Target, title: str, timeout: float | None, explain: Explain = lambda text: None
) -> Document:
    """Have a device describe itself, as an OpenRPC document.

    Over a link for small messages it is put together from `rpc.methods` and one `rpc.discover` for
    each method. Of a device without `rpc.discover` the names alone are known.

    Args:
        client: reaches the device.
        title: what to call a device that does not say.
        timeout: seconds for each call, `None` for any time.
        explain: is told what of the device remains unknown.

    Raises:
        JsonRpcIotError: nothing of it can be known.
    """
    limit = client.info.max_message
    if limit is None or limit >= _LARGE:
        with suppress(RpcError, MalformedResponse):
            return await _ask(client, timeout)
    try:
        names = await _names(client, timeout, explain)
    except (RpcError, MalformedResponse) as failure:
        try:  # it may have no list of names, but all in one
            return await _ask(client, timeout)
        except (RpcError, MalformedResponse):
            raise failure from None
    whole: Document = {
        "openrpc": "1.3.2",
        "info": {"title": title, "version": "unknown"},
        "methods": [],
    }
    pieces = await _pieces(client, names, timeout)
    bare = [name for name in names if name not in pieces]
    for name in names:
        add(whole, pieces.get(name, {"methods": [{"name": name, "params": []}]}))
    if bare:
        explain(f"known by name alone: {', '.join(bare)}")
    return whole


def is_idempotent(entry: Document) -> bool:
    """Whether a method may be called twice, by what its description says: what only reads may."""
    return entry.get("x-idempotent") is True or entry.get("x-effect") == "read"


async def _names(client: Target, timeout: float | None, explain: Explain) -> list[str]:
    """The names of a device's methods; of a device that never ends, as many as may be real."""
    names: dict[str, None] = {}
    room = _MOST_BYTES
    async with client.stream("rpc.methods", item=str, timeout=timeout) as listed:
        async for name in listed:
            room -= len(name)
            if room < 0 or len(names) >= _MOST_NAMES:
                explain(f"more than {len(names)} methods; these are the first")
                break
            names[name] = None
    return list(names)


async def _ask(client: Target, timeout: float | None, name: str | None = None) -> Document:
    """The document of a device, or of what has that name."""
    params = None if name is None else {"method": name}
    document: Document = await client.call(
        "rpc.discover", params, result=Document, timeout=timeout, idempotent=True
    )
    return document


async def _pieces(client: Target, names: list[str], timeout: float | None) -> dict[str, Document]:
    """The documents of single methods, by name, as far as the device has them."""
    pieces: dict[str, Document] = {}
    waiting = iter(names)

    async def ask() -> None:
        for name in waiting:
            try:
                piece = await _ask(client, timeout, name)
            except MethodNotFound:
                tasks.cancel_scope.cancel()
            except (RpcError, MalformedResponse):
                continue
            else:
                if entries := entries_of(piece, "methods", name)[:1]:
                    others = entries_of(piece, "x-notifications", name)
                    pieces[name] = {**piece, "methods": entries, "x-notifications": others}

    async with task_group() as tasks:
        # A link that loses messages is slow as well, and the device at its end small.
        for _ in range(_AT_ONCE if client.info.reliable else 1):
            tasks.start_soon(ask)
    return pieces


def entries_of(piece: Document, key: str, name: str | None = None) -> list[Document]:
    """The entries of a list, of one name or of any; a device may have sent something else."""
    found = piece.get(key)
    entries = found if isinstance(found, list) else []
    known = [each for each in entries if isinstance(each, dict)]
    return [each for each in known if name is None or each.get("name") == name]


def add(whole: Document, piece: Document, prefix: str = "") -> None:
    """Add the methods and notifications of a piece, and the schemas that they refer to.

    Args:
        whole: gets them.
        piece: has them.
        prefix: what names begin with in `whole`, with its dot; what it is remains as it is then.
    """
    info = piece.get("info")
    if (
        not prefix and isinstance(info, dict) and info.get("title")
    ):  # which goes where space is short
        whole["info"] = info
    schemas = _schemas_of(piece)
    if schemas:
        mine = whole.setdefault("components", {}).setdefault("schemas", {})
        names = {name: _free_name(name, schema, mine, prefix) for name, schema in schemas.items()}
        piece = _renamed(piece, {old: new for old, new in names.items() if old != new})
        mine.update({names[name]: schema for name, schema in _schemas_of(piece).items()})
    for key in ("methods", "x-notifications"):
        if entries := _prefixed(entries_of(piece, key), prefix):
            whole.setdefault(key, []).extend(entries)


def _prefixed(entries: list[Document], prefix: str) -> list[Document]:
    """Entries under other names, without those of the protocol."""
    if not prefix:
        return entries
    names = [str(each.get("name")) for each in entries]
    return [
        {**each, "name": f"{prefix}{name}"}
        for each, name in zip(entries, names, strict=True)
        if not name.startswith("rpc.")
    ]


def only(piece: Document, is_wanted: Callable[[str], bool]) -> Document:
    """A piece with those methods and notifications alone whose names are texts and wanted.

    Of each name the first is kept, and of too many the first few thousand.
    """
    kept: Document = {"methods": _named(entries_of(piece, "methods"), is_wanted)}
    if "x-notifications" in piece:
        kept["x-notifications"] = _named(entries_of(piece, "x-notifications"), is_wanted)
    return {**piece, **kept}


def _named(entries: list[Document], is_wanted: Callable[[str], bool]) -> list[Document]:
    found: dict[tuple[str, object], Document] = {}
    for each in entries:
        name, direction = each.get("name"), str(each.get("direction"))
        if len(found) < _MOST_NAMES and _is_name(name) and is_wanted(str(name)):
            found.setdefault((str(name), direction), each)
    return list(found.values())


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME


def _schemas_of(piece: Document) -> Document:
    components = piece.get("components")
    schemas = components.get("schemas") if isinstance(components, dict) else None
    return schemas if isinstance(schemas, dict) else {}


def _free_name(name: str, schema: object, taken: Document, prefix: str) -> str:
    """The name for a schema, where another piece may have another schema of that name."""
    chosen, number = name, 1
    while taken.get(chosen, schema) != schema:
        number += 1
        chosen = f"{prefix}{name}" if prefix and number == 2 else f"{prefix}{name}_{number}"
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
