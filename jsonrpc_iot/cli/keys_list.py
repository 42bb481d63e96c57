"""`keys list`: who is in a keyring, without their keys."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Struct

from jsonrpc_iot.trust.entries import Entry
from jsonrpc_iot.trust.keys import key_id
from jsonrpc_iot.trust.principal import ALL, Everything, Proof

from ._keyring import FileArgument, entries_of
from ._output import is_terminal, print_json_line, table_of
from .command.declare import Option


class Listed(Struct, frozen=True):
    """An entry as it is shown.

    Args:
        name: the entry's.
        proof: by what it is proved.
        permissions: what it may do.
        expires: from when on it is void.
        key_id: what stands for its key on the wire, 16 hex digits.
    """

    name: str
    proof: Proof
    permissions: list[str]
    expires: datetime | None
    key_id: str | None


def list(  # as the command is called
    file: FileArgument,
    *,
    json: Annotated[bool, Option("--json", help="Print one JSON object a line for each.")] = False,
) -> None:
    """List who is in a keyring: names, permissions, expiry and key ids, never keys."""
    found = [*map(_listed, entries_of(file))]
    if not json and is_terminal():
        from rich.console import Console

        titles = ("name", "proof", "permissions", "expires", "key id")
        Console().print(table_of(titles, map(_row, found)))
        return
    for each in found:
        print_json_line(msgspec.json.encode(each))


def _listed(entry: Entry) -> Listed:
    permissions = entry.permissions
    names = [ALL] if isinstance(permissions, Everything) else sorted(permissions)
    expires = None if entry.expires is None else datetime.fromtimestamp(entry.expires, UTC)
    id = None if entry.key is None else key_id(entry.key).hex()
    return Listed(entry.name, _proof(entry), names, expires, id)


def _proof(entry: Entry) -> Proof:
    if entry.kind == "peers":
        return "token" if entry.key is None and entry.token is not None else "key"
    return "certificate" if entry.kind == "certificates" else "uid"


def _row(listed: Listed) -> tuple[str, ...]:
    expires = "" if listed.expires is None else f"{listed.expires:%Y-%m-%d %H:%M} UTC"
    permissions = ", ".join(listed.permissions)
    return listed.name, listed.proof, permissions, expires, listed.key_id or ""
