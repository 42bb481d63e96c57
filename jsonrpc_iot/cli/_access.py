"""Options that say who may do what on a server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from jsonrpc_iot import Keyring, Pairing, UsageError
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.trust.principal import ALL

from .command.declare import Option

KeysOption: TypeAlias = Annotated[
    Path | None,
    Option(
        "--keys",
        metavar="FILE",
        help="The keyring: which keys there are, and what each may do; see keys new. It is read "
        "again when it changes, and on SIGHUP.",
    ),
]
RequireKeyOption: TypeAlias = Annotated[
    bool,
    Option("--require-key", help="Let nobody do anything who has not proved who they are."),
]
PairOption: TypeAlias = Annotated[
    str | None,
    Option(
        metavar="CODE",
        help="Be open for pairing for 300 s: who knows this code, of at least 8 digits, gets a key "
        "with all permissions; see pair. The keyring is made if it is not there.",
    ),
]


def access(
    keys: Path | None, require_key: bool, urls: Sequence[str], pair: str | None = None
) -> dict[str, Any]:
    """The options of `serve` that the command line's stand for.

    Args:
        keys: the keyring's file.
        require_key: keep strangers out.
        urls: where the server listens.
        pair: the code for pairing, which is open from now on.

    Raises:
        KeyringError: the file cannot be read, or has a mistake.
        UsageError: nobody could prove who they are, or it is no code.
        MissingExtra: a library for pairing is not installed.
    """
    if require_key and keys is None and not any("psk" in Url.parse(url).options for url in urls):
        raise UsageError("--require-key lets nobody in without --keys FILE")
    if keys is None:
        if pair is not None:
            raise UsageError("--pair needs --keys FILE, which gets the key")
        return {"strangers": not require_key}
    if pair is None:
        return {"keyring": Keyring(keys), "strangers": not require_key}
    from jsonrpc_iot.trust.exchange import digits_of
    from jsonrpc_iot.trust.keyfile import make

    digits_of(pair)  # a wrong one makes no file
    make(keys)
    keyring = Keyring(keys)
    pairing = Pairing(keyring, pair, [ALL])
    pairing.open()
    return {"keyring": keyring, "strangers": not require_key, "pairing": pairing}
