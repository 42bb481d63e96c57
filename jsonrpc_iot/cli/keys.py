"""`keys new`, `keys token` and `keys revoke`: the peers of a keyring."""

import time
from typing import Annotated

from jsonrpc_iot import UsageError

from ._keyring import FileArgument, NameArgument, entries_of, read_date
from ._output import print_text
from .command.declare import Argument, Option


def _check_date(text: str) -> str | None:
    from jsonrpc_iot.trust.entries import seconds_of

    try:
        seconds = seconds_of(read_date(text))
    except ValueError:
        return f"{text!r} is no date such as 2027-01-01 or 2027-01-01T12:00:00Z"
    return f"{text} is past" if seconds <= time.time() else None


def new(
    file: FileArgument,
    name: Annotated[str, Argument("NAME", "What the peer shall be called.")],
    *,
    permission: Annotated[
        list[str] | None,
        Option(
            metavar="P",
            help="What the peer may do; give it once for each permission, * for all.",
        ),
    ] = None,
    expires: Annotated[
        str | None,
        Option(
            metavar="DATE",
            help="From when on the key does not count any more, in UTC.",
            check=_check_date,
        ),
    ] = None,
) -> None:
    """Make a key for a peer, and print it, this once.

    The key goes where the peer finds it, as env:NAME or file:PATH. The keyring is made if it is not
    there, so that its owner alone can read it. A server that has it knows the key at once.
    """
    from jsonrpc_iot.trust.keyfile import add
    from jsonrpc_iot.trust.keys import key_text

    date = None if expires is None else read_date(expires)
    key = add(file, name, permissions=permission or (), expires=date)
    print_text(key_text(key))


def token(file: FileArgument, name: NameArgument) -> None:
    """Print the bearer token of a peer, which proves its key over HTTP."""
    from jsonrpc_iot.trust.keys import bearer_token

    entry = next((e for e in entries_of(file) if e.kind == "peers" and e.name == name), None)
    if entry is None:
        raise UsageError(f"{file}: no peer is called {name!r}")
    if entry.key is None:
        raise UsageError(f"{file}: the key of {name!r} is not here, so its token cannot be told")
    print_text(bearer_token(entry.key))


def revoke(file: FileArgument, name: NameArgument) -> None:
    """Take a peer out of the keyring. A server that has it closes the peer's channels at once."""
    from jsonrpc_iot.trust.keyfile import revoke as take_out

    take_out(file, name)
